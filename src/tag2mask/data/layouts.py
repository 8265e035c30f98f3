"""Other layouts of data sets, recognised by their files: ``prepare`` reads them, ``train`` does not."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

from tag2mask.errors import DataError

# Name, source for ``prepare``, and paths of which at least one exists; the first layout that matches counts.
LAYOUTS = (
    ("a COCO export from Roboflow", "coco-json", ("*/_annotations.coco.json", "_annotations.coco.json")),
    ("COCO", "coco", ("annotations/instances_train20??.json", "annotations/instances_val20??.json")),
    ("annotations in COCO format", "coco-json", ("annotations.json",)),
    ("annotations in COCO format", "coco-json --set annotations={0}", ("annotations/*.json",)),
    ("PASCAL VOC", "voc", ("JPEGImages", "VOC2012/JPEGImages", "VOCdevkit/VOC2012/JPEGImages")),
    ("ADE20K", "ade20k", ("ADEChallengeData2016", "annotations/training/*.png")),
    ("DFC2020", "dfc2020", ("ROIs0000_test", "ROIs0000_validation")),
    ("EndoTect", "endotect", ("labeled-images",)),
    ("a CSV export from Roboflow", "csv", ("*/_classes.csv", "_classes.csv")),
    (
        "a Hugging Face data set",
        "huggingface",
        ("dataset_dict.json", "state.json", "*.parquet", "data/*.parquet"),
    ),
    ("YOLO", "yolo", ("labels/*.txt", "labels/*/*.txt", "*/labels/*.txt")),
)
# The same for JSON files, by their keys: one file per image, or one for all.
PAGES = (
    ("labelme", "labelme", (b'"imagePath"', b'"shapes"')),
    ("annotations in COCO format", "coco-json --set annotations={0}", (b'"images"', b'"annotations"', b'"categories"')),
)


def refuse_foreign(root: Path, classes: str) -> None:
    """Check that a folder without a table of tags is not in another layout.

    A file ``classes`` without ``images/`` marks the folders as class folders, so nothing is checked then.

    Raises:
        DataError: it looks like another layout; the message names the command that reads it.
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
    """Return the error for a folder in another layout."""
    there = sign.relative_to(root).as_posix()
    way = f"convert it with: tag2mask prepare {how.format(there)} --root {shlex.quote(str(root))} --out DATA"
    return DataError(f"{root}: looks like {what} (found {there}); {way}")
