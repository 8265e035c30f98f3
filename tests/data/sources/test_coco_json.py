"""What only outlines in COCO's form from other tools have: labelme2coco's background, a file a split, groups."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tree_parts import SIDE, annotation, box, save_image, write_instances

from tag2mask.data.sources import Source, open_source
from tag2mask.data.sources.prepare import prepare
from tag2mask.errors import DataError

CAT, DOG = {"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}


def write(path: Path, images: Path, files: Mapping[int, str], annotations: Sequence[Any], *categories: Any) -> None:
    write_instances(path, files, annotations, categories)
    for number, file in files.items():
        save_image(images / file, number + len(str(path)), SIDE, SIDE + 8)


def tags_of(source: Source) -> dict[str, list[str]]:
    found = {name: source.record(name).tags or () for name in source.names()}
    return {name: [source.classes.names[tag] for tag in tags] for name, tags in found.items()}


def test_the_background_of_labelme2coco_is_no_class(tmp_path: Path) -> None:
    """As its script writes it: ids from 0 for _background_, file names seen from the JSON."""
    drawn = [annotation(0, 0, 1, [box(2, 2, 20, 20)]), annotation(1, 0, 0, [box(4, 4, 8, 8)])]
    drawn.append(annotation(2, 1, 0, [box(0, 0, 4, 4)]))
    files = {0: "JPEGImages/a.jpg", 1: "JPEGImages/b.jpg"}
    write(tmp_path / "annotations.json", tmp_path, files, drawn, {"id": 0, "name": "_background_"}, CAT)
    for background, nothing in ((True, 0), (False, 255)):
        source = open_source("coco-json", tmp_path, {"background": background})
        assert tags_of(source) == {"JPEGImages/a": ["cat"], "JPEGImages/b": []}
        truth = source.record("JPEGImages/a").truth
        assert truth is not None
        wanted = np.full((SIDE, SIDE + 8), nothing)
        wanted[2:20, 2:20] = 1 if background else 0
        wanted[4:8, 4:8] = nothing
        np.testing.assert_array_equal(truth(), wanted)
    assert prepare("coco-json", tmp_path, tmp_path.with_name(f"{tmp_path.name}-out")).failures == {}


@pytest.mark.parametrize("name", ["_background_", "background", "__ignore__"])
def test_a_file_without_any_class_is_refused(name: str, tmp_path: Path) -> None:
    write(tmp_path / "annotations.json", tmp_path / "images", {0: "a.jpg"}, [], {"id": 0, "name": name})
    with pytest.raises(DataError, match=rf"annotations\.json: names no class, only {name}"):
        open_source("coco-json", tmp_path, {})


def test_a_file_a_split_with_categories_in_another_order(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    drawn = [annotation(1, 1, 1, [box(0, 0, 4, 4)]), annotation(2, 2, 2, [box(0, 0, 4, 4)])]
    write(root / "a/t.json", root / "images/train", {1: "x.jpg", 2: "y.jpg"}, drawn, CAT, DOG)
    swapped = [{"id": 1, "name": "dog"}, {"id": 5, "name": "emu"}]
    write(root / "a/v.json", root / "other", {1: "x.jpg"}, drawn[:1], *swapped)
    settings = {"annotations": {"train": "a/t.json", "valid": "a/v.json"}, "images": {"valid": "other"}}
    done = prepare("coco-json", root, tmp_path / "out", settings)
    assert (done.failures, done.splits, done.masks) == ({}, {"train": 2, "val": 1}, 3)
    source = open_source("coco-json", root, settings)
    assert source.classes.names == ("cat", "dog", "emu")
    assert tags_of(source) == {"train/x": ["cat"], "train/y": ["dog"], "valid/x": ["dog"]}
    truth = source.record("valid/x").truth
    assert truth is not None
    assert np.unique(truth()).tolist() == [0, 2]
    with pytest.raises(DataError, match=r"a/w\.json is missing; expected: "):
        open_source("coco-json", root, {"annotations": {"train": "a/t.json", "val": "a/w.json"}})


def test_roboflows_export_is_found_and_its_group_is_no_class(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    group = {"id": 0, "name": "pets", "supercategory": "none"}
    cat = {**CAT, "supercategory": "pets"}
    for split in ("train", "valid", "test"):
        drawn = [annotation(0, 0, 1, [box(0, 0, 4, 4)])]
        write(root / split / "_annotations.coco.json", root / split, {0: "a.jpg"}, drawn, group, cat)
    done = prepare("coco-json", root, tmp_path / "out")
    assert (done.failures, done.splits) == ({}, {"test": 1, "train": 1, "val": 1})
    source = open_source("coco-json", root, {})
    assert source.classes.names == ("cat",)
    assert tags_of(source) == {f"{split}/a": ["cat"] for split in ("test", "train", "valid")}
    path = root / "valid/_annotations.coco.json"
    content = json.loads(path.read_text())
    content["annotations"].append(annotation(1, 0, 0, [box(8, 8, 12, 12)]))
    path.write_text(json.dumps(content))
    assert open_source("coco-json", root, {}).classes.names == ("pets", "cat")  # an object has it, so it is a class
