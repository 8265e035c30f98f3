"""What only labelme's files can have wrong."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile_pixels import bomb_png
from numpy.typing import NDArray
from PIL import Image
from trees_own import shape, write_labelme

from tag2mask.data.sources import open_source
from tag2mask.data.sources.prepare import prepare
from tag2mask.errors import DataError


def coded(pixels: NDArray[np.uint8]) -> str:
    """A PNG in base64 with line breaks, as old writers leave them."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.encodebytes(file.getvalue()).decode()


def drawn(root: Path, *shapes: dict[str, Any], **changes: Any) -> NDArray[np.int64]:
    """The label image of ``hay`` with these shapes."""
    path = root / "hay.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "shapes": shapes, **changes}))
    truth = open_source("labelme", root, {}).record("hay").truth
    assert truth is not None
    return truth()


BROKEN = {
    "blob": shape("cow", "blob", [[1, 1]]),
    "corner": shape("cow", "rectangle", [[1, 1]]),
    "two": shape("cow", "polygon", [[1, 1], [2, 2]]),
    "stamp": shape("cow", "mask", [[1, 1], [2, 2]], mask="no base64"),
    "colours": shape("cow", "mask", [[1, 1], [2, 2]], mask=coded(np.zeros((2, 2, 3), np.uint8))),
    "no text": shape("cow", "mask", [[1, 1], [2, 2]], mask=None),
    "bomb": shape("cow", "mask", [[1, 1], [2, 2]], mask=base64.b64encode(bomb_png(100_000)).decode()),
    "three": shape("cow", "oriented_rectangle", [[1, 1], [2, 2], [3, 3]]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_shapes_that_cannot_be_drawn_name_the_file(case: str, tmp_path: Path) -> None:
    write_labelme(tmp_path)
    path = tmp_path / "hay.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "shapes": [BROKEN[case]]}))
    truth = open_source("labelme", tmp_path, {}).record("hay").truth
    assert truth is not None
    with pytest.raises(DataError, match=r"hay\.json"):
        truth()


@pytest.mark.parametrize("inside", [1, 255])
def test_every_value_but_0_of_a_brush_mask_is_inside(inside: int, tmp_path: Path) -> None:
    write_labelme(tmp_path)
    stamp = np.eye(4, 6, dtype=np.uint8) * np.uint8(inside)
    labels = drawn(tmp_path, shape("cow", "mask", [[3, 5], [8, 8]], mask=coded(stamp)))
    wanted = np.zeros_like(labels)
    wanted[5:9, 3:9] = np.eye(4, 6)
    np.testing.assert_array_equal(labels, wanted)


def test_oriented_rectangles_are_drawn_through_their_corners(tmp_path: Path) -> None:
    write_labelme(tmp_path)
    corners = [[16, 4], [28, 16], [16, 28], [4, 16]]
    labels = drawn(tmp_path, shape("hay", "oriented_rectangle", corners))
    np.testing.assert_array_equal(labels, drawn(tmp_path, shape("hay", "polygon", corners)))
    assert (labels[16, 16], labels[5, 5]) == (2, 0)


def test_an_image_may_be_in_the_json_alone(tmp_path: Path) -> None:
    write_labelme(tmp_path / "tree")
    path = tmp_path / "tree/hay.json"
    content = json.loads(path.read_text())
    encoded = (tmp_path / "tree/hay.jpg").read_bytes()
    (tmp_path / "tree/hay.jpg").unlink()
    del content["imageHeight"], content["imageWidth"]  # labelme 3 wrote none
    path.write_text(json.dumps({**content, "imageData": base64.encodebytes(encoded).decode()}))
    done = prepare("labelme", tmp_path / "tree", tmp_path / "out")
    assert (done.failures, done.masks) == ({}, 2)
    assert (tmp_path / "out/images/hay.jpg").read_bytes() == encoded
    path.write_text(json.dumps({**content, "imageData": "no*base64"}))
    with pytest.raises(DataError, match=r"hay\.json: imageData is not base64 .*imagePath is not a file"):
        open_source("labelme", tmp_path / "tree", {}).record("hay")
    with pytest.raises(DataError, match=r"hay\.json: imageHeight and imageWidth must be integers"):
        drawn(
            tmp_path / "tree",
            shape("hay", "point", [[1, 1]]),
            imageData=coded(np.eye(3, dtype=np.uint8)),
            imageHeight="9",
        )


def test_a_damaged_file_does_not_stop_the_others(tmp_path: Path) -> None:
    write_labelme(tmp_path)
    huge = '{"imagePath": "hay.jpg", "imageHeight": 1e400, "imageWidth": 4, "shapes": [{"label": "cow"}]}'
    for content in ("{", "[]", '{"imagePath": "hay.jpg", "shapes": [{}]}', huge, "[" * 100_000):
        (tmp_path / "hay.json").write_text(content)
        source = open_source("labelme", tmp_path, {})
        assert source.record("x/cow").tags == (0, 1)
        with pytest.raises(DataError, match=r"hay\.json"):
            source.record("hay")


def test_without_background_nothing_is_known_outside_of_shapes(tmp_path: Path) -> None:
    write_labelme(tmp_path)
    source = open_source("labelme", tmp_path, {"background": False})
    truth = source.record("x/cow").truth
    assert truth is not None
    assert source.classes.background is None
    assert sorted(set(truth().ravel().tolist())) == [0, 1, 255]
