"""What only YOLO's files have: three trees, numbers of classes, lines of several kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tree_parts import save_image, write_text
from trees_own import write_yolo

from tag2mask.data.classes import Classes
from tag2mask.data.sources import open_source
from tag2mask.data.sources.prepare import PrepareSettings, prepare
from tag2mask.errors import DataError
from tag2mask.exporters import convert
from tag2mask.masks.write import MaskSetWriter, Painted

EDGES = 16 + 8 + 16 + 12 + 2  # right and lower sides of two boxes
BROKEN = {
    "2 0.5 0.5 0.1 0.1": "class 2 is not one of the 2 classes",
    "0.5 0.5 0.5 0.1 0.1": "class 0.5 is not one of the 2 classes",
    "-1 0.5 0.5 0.1 0.1": "class -1 is not one of the 2 classes",
    "cat 0.5 0.5 0.1 0.1": "must hold only numbers",
    "0 0.5 0.5 0.1": "3 numbers are neither a box",
    "0 0.5 0.5 0.1 0.1 0.9": "5 numbers are neither a box",
    "0 0.5 0.5 0.1 0.1 0.9 0.9 0.8": "7 numbers are neither a box",
    "0 0 0 320 0 0 320": "a coordinate is not a fraction of the side",
    "0 nan 0.5 0.1 0.1": "a coordinate is not a fraction of the side",
}


@pytest.mark.parametrize("line", BROKEN)
def test_bad_lines_say_where(line: str, tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "labels/train/1.txt", f"0 0.5 0.5 0.1 0.1\n{line}\n")
    source = open_source("yolo", tmp_path, {})
    with pytest.raises(DataError, match=r"labels/train/1\.txt, line 2: ") as error:
        source.record("train/1")
    assert BROKEN[line] in str(error.value)
    assert source.record("train/b/2").tags == (0,)


def test_roboflow_has_a_folder_a_split(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "valid", "test")):
        save_image(tmp_path / split / "images/1.jpg", seed)
        write_text(tmp_path / split / "labels/1.txt", f"{seed % 2} 0.5 0.5 0.1 0.1\n")
    write_text(tmp_path / "data.yaml", "names: [cat, dog]\n")
    source = open_source("yolo", tmp_path, {})
    assert source.splits == {"test": ["test/1"], "train": ["train/1"], "val": ["valid/1"]}
    assert [source.record(name).tags for name in ("train/1", "valid/1", "test/1")] == [(0,), (1,), (0,)]
    write_text(tmp_path / "data.yaml", "names: {1: cat, 2: dog}\n")
    with pytest.raises(DataError, match=r"data\.yaml: names no classes; write names"):
        open_source("yolo", tmp_path, {})


def test_key_points_count_as_boxes(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    write_text(tmp_path / "data.yaml", "names: [cat, dog]\nkpt_shape: [1, 3]\n")
    write_text(tmp_path / "labels/train/1.txt", "1 0.5 0.5 0.1 0.1 0.5 0.5 2\n")
    record = open_source("yolo", tmp_path, {}).record("train/1")
    assert (record.tags, record.truth) == ((1,), None)


def test_without_splits_and_a_list_of_classes_as_label_studio_writes(tmp_path: Path) -> None:
    save_image(tmp_path / "images/1.jpg", 0)
    write_text(tmp_path / "labels/1.txt", "0 0.25 0.25 0.75 0.25 0.75 0.75\n")
    write_text(tmp_path / "classes.txt", "cat\n")
    source = open_source("yolo", tmp_path, {"background": False})
    truth = source.record("1").truth
    assert (source.classes.pixel_names, source.splits) == (("cat",), {})
    assert truth is not None
    assert np.unique(truth()).tolist() == [0, 255]


def test_what_convert_writes_is_read_again(tmp_path: Path) -> None:
    classes = Classes(("cat", "dog"), "background")
    labels = np.zeros((32, 32), np.int64)
    labels[4:12, 4:20] = 1
    labels[16:28, 8:24] = 2
    writer = MaskSetWriter(tmp_path / "set", classes, {"data": str(tmp_path / "data"), "settings": {"split": "val"}})
    writer.add("1", Painted(labels, [], False))
    writer.finish({})
    convert(tmp_path / "set", "yolo", tmp_path / "out")
    save_image(tmp_path / "out/images/1.jpg", 0)
    record = open_source("yolo", tmp_path / "out", {}).record("1")
    assert record.tags == (0, 1)
    assert record.truth is not None
    assert (record.truth() != labels).sum() <= EDGES  # Pillow fills the edge, too


def test_a_class_called_like_the_background_is_refused(tmp_path: Path) -> None:
    save_image(tmp_path / "yolo/images/1.jpg", 0)
    write_text(tmp_path / "yolo/labels/1.txt", "1 0.5 0.5 0.2 0.2 0.6 0.6\n")
    write_text(tmp_path / "yolo/data.yaml", "names: [background, cat]\ntrain: images\n")
    with pytest.raises(DataError, match="class 'background': two classes have this name"):
        prepare("yolo", tmp_path / "yolo", tmp_path / "out", {}, PrepareSettings())
