"""Splits are no classes, and data sets of others are refused with the command that reads them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from PIL import Image

from command import call
from tag2mask.data import DataSettings, open_dataset
from tag2mask.data.check.folder import check
from tag2mask.data.sources import open_source
from tag2mask.errors import DataError

PLAIN = DataSettings()


def write(root: Path, *names: str) -> Path:
    """Images and empty files."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".jpg", ".png"):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(path)
        else:
            path.write_text("")
    return root


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Validation", "dev"])
@pytest.mark.parametrize("train", ["train", "Training"])
def test_folders_that_are_called_like_splits_are_some(train: str, val: str, tmp_path: Path) -> None:
    root = write(tmp_path, f"{train}/cat/a.png", f"{train}/dog/a.png", f"{val}/dog/a.png", "notes.txt")
    dataset = open_dataset(root, PLAIN, "val")
    assert dataset.classes.names == ("cat", "dog")
    assert [(sample.name, sample.tags) for sample in dataset] == [(f"{val}/dog/a", (1,))]
    assert [sample.name for sample in open_dataset(root, PLAIN, "train")] == [f"{train}/cat/a", f"{train}/dog/a"]
    report = check(root, PLAIN)
    assert not report.problems
    assert report.splits == {"train": 2, "val": 1}
    assert {split: len(names) for split, names in open_source("imagefolder", root, {}).splits.items()} == report.splits


AMBIGUOUS = {
    "stray": (("train/cat/a.png", "val/cat/a.png", "train/b.png"), r"train/b\.png: is beside the class folders"),
    "flat": (("train/cat/a.png", "val/a.png"), "val: is named like a split and holds images, but no class folders"),
    "alone": (("train/a.png",), "train: is named like a split and holds images, but no class folders"),
    "others": (
        ("train/cat/a.png", "test/cat/a.png", "extra/a.png"),
        "test, train are named like splits, but extra are not",
    ),
    "twice": (("train/cat/a.png", "val/cat/a.png", "valid/cat/b.png"), "two of train, val, valid are the same split"),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_what_could_be_a_split_or_a_class_is_refused(case: str, tmp_path: Path) -> None:
    names, message = AMBIGUOUS[case]
    root = write(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        open_dataset(root, PLAIN, None)
    assert [problem.severity for problem in check(root, PLAIN).problems] == ["error"]
    with pytest.raises(DataError, match=message):
        open_source("imagefolder", root, {})
    folders = {Path(name).parts[0] for name in names}
    (root / "classes.txt").write_text("".join(f"{folder}\n" for folder in sorted(folders)))
    assert open_dataset(root, PLAIN, None).classes.names == tuple(sorted(folders))


def test_an_image_beside_the_class_folders_is_a_warning(tmp_path: Path) -> None:
    report = check(write(tmp_path, "cat/a.png", "dog/a.png", "b.png"), PLAIN)
    assert [problem.message for problem in report.problems] == [
        f"{tmp_path}: not read: 1 image beside the class folders, b.png first; move each into a class folder"
    ]


FOREIGN = {
    "coco": ("train2017/1.jpg", "val2017/2.jpg", "annotations/instances_train2017.json"),
    "coco --of images": ("images/train2017/1.jpg", "annotations/instances_val2014.json"),
    "coco-json": ("images/1.jpg", "annotations.json"),
    "coco-json --of roboflow": ("train/1.jpg", "train/_annotations.coco.json", "valid/2.jpg"),
    "coco-json --set annotations=annotations/instances_default.json": (
        "images/1.jpg",
        "annotations/instances_default.json",
    ),
    "voc": ("JPEGImages/1.jpg", "SegmentationClass/1.png"),
    "voc --of devkit": ("VOCdevkit/VOC2012/JPEGImages/1.jpg",),
    "ade20k": ("images/training/1.jpg", "annotations/training/1.png"),
    "dfc2020": ("ROIs0000_test/s2_0/1.tif",),
    "endotect": ("labeled-images/lower-gi-tract/a/b/1.jpg",),
    "csv": ("train/1.jpg", "train/_classes.csv", "valid/2.jpg"),
    "yolo": ("images/1.jpg", "labels/1.txt"),
    "yolo --of roboflow": ("train/images/1.jpg", "train/labels/1.txt", "valid/images/2.jpg"),
    "huggingface": ("data/train-00000-of-00001.parquet",),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_another_layout_is_refused_with_the_command_that_reads_it(case: str, tmp_path: Path) -> None:
    root = write(tmp_path / "some data", *FOREIGN[case])
    words = f"tag2mask prepare {case.split(' --of')[0]} --root "
    for look in (lambda: open_dataset(root, PLAIN, None), lambda: check(root, PLAIN)):
        with pytest.raises(DataError) as error:
            look()
        assert words in str(error.value)
        assert shlex.split(str(error.value).split("convert it with: ")[1])[-3:] == [str(root), "--out", "DATA"]
    with pytest.raises(DataError, match="looks like"):
        open_source("imagefolder", root, {})


@pytest.mark.parametrize(
    ("content", "how"),
    [
        ({"imagePath": "a.jpg", "shapes": []}, "labelme"),
        ({"images": [], "annotations": [], "categories": []}, "coco-json --set annotations=a.json"),
        ({"names": []}, None),
    ],
)
def test_json_files_are_told_apart_by_their_keys(content: object, how: str | None, tmp_path: Path) -> None:
    root = write(tmp_path, "cat/a.jpg", "dog/a.jpg")
    (root / "a.json").write_text(json.dumps(content))
    if how is None:
        assert open_dataset(root, PLAIN, None).classes.names == ("cat", "dog")
        return
    with pytest.raises(DataError, match=f"tag2mask prepare {how} --root"):
        open_dataset(root, PLAIN, None)


def test_a_table_or_a_list_of_classes_says_that_the_folder_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path, "cat/a.png", "dog/a.png", "annotations/instances_train2017.json")
    assert call(monkeypatch, "check", root) == 2
    (root / "classes.txt").write_text("cat\ndog\n")
    assert call(monkeypatch, "check", root) == 0
