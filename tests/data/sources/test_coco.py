"""What only COCO's files can have wrong, and the order of painting."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees_own import write_coco_json
from trees_published import write_coco

from tag2mask.data.sources import open_source
from tag2mask.errors import DataError


def change(path: Path, **content: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **content}))


def test_category_ids_are_no_indices(tmp_path: Path) -> None:
    source = open_source("coco", write_coco(tmp_path).root, {})
    assert len(source.classes) == 80
    assert source.classes.names[11] == "stop sign"  # id 13: 12 is left out
    assert source.record("000000000009").tags == (0, 11, 79)


def test_2014_keeps_its_prefix_and_both_years_ask_which(tmp_path: Path) -> None:
    root = write_coco(tmp_path).root
    for split in ("train", "val"):
        path = root / f"annotations/instances_{split}2017.json"
        content = json.loads(path.read_text())
        for image in content["images"]:
            image["file_name"] = f"COCO_{split}2014_{image['file_name']}"
        path.with_name(f"instances_{split}2014.json").write_text(json.dumps(content))
        shutil.copytree(root / f"{split}2017", root / f"images/{split}2014")
    with pytest.raises(DataError, match="holds both years; choose one with --set year=2017"):
        open_source("coco", root, {})
    source = open_source("coco", root, {"year": 2014})
    assert source.names()[0] == "COCO_train2014_000000000009"
    assert source.record("COCO_val2014_000000000139").image.parent == root / "images/val2014"


def test_lists_with_other_categories_are_refused(tmp_path: Path) -> None:
    root = write_coco(tmp_path).root
    change(root / "annotations/instances_val2017.json", categories=[{"id": 90, "name": "brush"}])
    with pytest.raises(DataError, match="its categories differ from those of instances_train2017"):
        open_source("coco", root, {})


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "image": (
        {"annotations": [{"id": 1, "image_id": 4, "category_id": 7}]},
        "refers to image id 4, which does not exist",
    ),
    "category": ({"annotations": [{"id": 1, "image_id": 5, "category_id": 1}]}, "refers to category id 1, which does"),
    "caption": ({"annotations": [{"id": 1, "image_id": 5, "caption": "a leaf"}]}, "annotation 0 has no image_id and"),
    "listless": ({"annotations": None}, "is not a COCO instances file"),
    "captions": ({"categories": 5}, "is not a COCO instances file"),
    "classless": ({"categories": [], "annotations": []}, "names no category"),
    "twice": (
        {"images": 2 * [{"id": 5, "file_name": "a.jpg", "height": 4, "width": 4}]},
        "two images are named a",
    ),
    "sizeless": ({"images": [{"id": 5, "file_name": "a.jpg"}]}, "'height' is missing"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_one_clear_error(case: str, tmp_path: Path) -> None:
    tree = write_coco_json(tmp_path)
    content, part = BROKEN[case]
    change(tmp_path / "all.json", **content)
    with pytest.raises(DataError, match=r"all\.json: ") as error:
        open_source("coco-json", tree.root, {**tree.settings, "background": True})
    assert part in str(error.value)
    (tmp_path / "all.json").write_text("{")
    with pytest.raises(DataError, match="is not a COCO instances file"):
        open_source("coco-json", tree.root, tree.settings)


def test_compressed_codes_and_ties_in_the_files_order(tmp_path: Path) -> None:
    from pycocotools import mask as rle

    tree = write_coco_json(tmp_path)
    square = np.zeros((32, 40), np.uint8)
    square[4:8, 4:8] = 1
    coded = rle.encode(np.asfortranarray(square))
    coded = {"size": coded["size"], "counts": coded["counts"].decode("ascii")}
    other = {"size": [32, 40], "counts": [0, 32 * 40]}
    both = [
        {"id": number, "image_id": 5, "category_id": category, "segmentation": outline, "iscrowd": 0}
        for number, (category, outline) in enumerate([(3, coded), (7, coded), (3, other)])
    ]
    change(tmp_path / "all.json", annotations=both)
    truth = open_source("coco-json", tree.root, tree.settings).record("a/one").truth
    assert truth is not None
    np.testing.assert_array_equal(truth(), np.where(square, 0, 1))
    change(tmp_path / "all.json", annotations=[{**both[0], "segmentation": {"size": [8, 8], "counts": [64]}}])
    truth = open_source("coco-json", tree.root, tree.settings).record("a/one").truth
    assert truth is not None
    with pytest.raises(DataError, match="an outline of image id 5 cannot be drawn"):
        truth()
