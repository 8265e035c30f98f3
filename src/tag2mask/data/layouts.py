"""Data sets that are laid out as others do it, known by their files: ``prepare`` reads them, ``train`` does not."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

from tag2mask.errors import DataError

# What it is, how ``prepare`` reads it, and paths one of which is there; the first that fits counts.
LAYOUTS = (
    ("a COCO export of Roboflow", "coco-json", ("*/_annotations.coco.json", "_annotations.coco.json")),
    ("COCO", "coco", ("annotations/instances_train20??.json", "annotations/instances_val20??.json")),
    ("outlines in COCO's form", "coco-json", ("annotations.json",)),
    ("outlines in COCO's form", "coco-json --set annotations={0}", ("annotations/*.json",)),
    ("PASCAL VOC", "voc", ("JPEGImages", "VOC2012/JPEGImages", "VOCdevkit/VOC2012/JPEGImages")),
    ("ADE20K", "ade20k", ("ADEChallengeData2016", "annotations/training/*.png")),
    ("DFC2020", "dfc2020", ("ROIs0000_test", "ROIs0000_validation")),
    ("EndoTect", "endotect", ("labeled-images",)),
    ("a table of Roboflow", "csv", ("*/_classes.csv", "_classes.csv")),
    (
        "a data set of Hugging Face",
        "huggingface",
        ("dataset_dict.json", "state.json", "*.parquet", "data/*.parquet"),
    ),
    ("YOLO", "yolo", ("labels/*.txt", "labels/*/*.txt", "*/labels/*.txt")),
)
# The same for JSON files by the keys in them: one file an image, or one for all.
PAGES = (
    ("labelme", "labelme", (b'"imagePath"', b'"shapes"')),
    ("outlines in COCO's form", "coco-json --set annotations={0}", (b'"images"', b'"annotations"', b'"categories"')),
)


def refuse_foreign(root: Path, classes: str) -> None:
    """A folder without a table of tags is not in another layout; a list of ``classes`` says that its folders are some.

    Raises:
        DataError: it looks like one; the command that reads it is named.
    """
    if (root / classes).exists() and not (root / "images").exists():
        return
    for what, how, patterns in LAYOUTS:
        found = next(itertools.chain.from_iterable(root.glob(pattern) for pattern in patterns), None)
        if found is not None:
            raise foreign(root, what, how, found)
    page = next(itertools.chain(root.glob("*.json"), root.glob("*/*.json")), None)
    if page is not None and page.is_file():
        content = page.read_bytes()
        for what, how, keys in PAGES:
            if all(key in content for key in keys):
                raise foreign(root, what, how, page)


def foreign(root: Path, what: str, how: str, sign: Path) -> DataError:
    """What to say of it."""
    there = sign.relative_to(root).as_posix()
    way = f"read it with: tag2mask prepare {how.format(there)} --root {shlex.quote(str(root))} --out DATA"
    return DataError(f"{root}: holds {there} and so looks like {what}; {way}")
