"""What only labelme's files can have wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trees_own import shape, write_labelme

from tag2mask.data.sources import open_source
from tag2mask.errors import DataError

BROKEN = {
    "blob": shape("cow", "blob", [[1, 1]]),
    "corner": shape("cow", "rectangle", [[1, 1]]),
    "two": shape("cow", "polygon", [[1, 1], [2, 2]]),
    "stamp": shape("cow", "mask", [[1, 1], [2, 2]], mask="no base64"),
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


def test_a_damaged_file_does_not_stop_the_others(tmp_path: Path) -> None:
    write_labelme(tmp_path)
    for content in ("{", "[]", '{"imagePath": "hay.jpg", "shapes": [{}]}'):
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
