"""COCO 2014 and 2017, instances. Layout and choices: coco.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from tag2mask.data.classes import Classes
from tag2mask.data.sources.coco_file import CocoFile, contiguous
from tag2mask.data.sources.record import Record, Source
from tag2mask.errors import DataError
from tag2mask.names import inside
from tag2mask.settings import Settings

SPLITS = ("train", "val")
YEARS: tuple[Literal[2014, 2017], ...] = (2014, 2017)


class CocoSettings(Settings):
    """Settings of COCO."""

    year: Literal[2014, 2017] | None = Field(None, description="Year of the data set [the one found]")


class Coco(Source):
    """The 80 thing categories; their ids have gaps, class indices do not."""

    settings_class = CocoSettings
    settings: CocoSettings
    layout = (
        "ROOT/annotations/instances_train2017.json, instances_val2017.json (or 2014) and the images in "
        "ROOT/train2017/, ROOT/val2017/, in ROOT/images/train2017/, ..., or all in ROOT/images/"
    )

    def __init__(self, root: Path, settings: CocoSettings) -> None:
        self.settings = settings
        year = settings.year or find_year(root, self.layout)
        paths = {split: root / f"annotations/instances_{split}{year}.json" for split in SPLITS}
        self.files = {split: CocoFile(path) for split, path in paths.items() if path.is_file()}
        if not self.files:
            raise DataError(f"{paths['train']} is missing; expected: {self.layout}")
        first, *others = self.files.values()
        for other in others:
            if other.categories != first.categories:
                raise DataError(f"{other.path}: its categories differ from those of {first.path.name}")
        self.index = contiguous(first.categories)
        self.classes = Classes(tuple(first.categories.values()), "background")
        self.values = {category: index + self.classes.offset for category, index in self.index.items()}
        self.folders = {split: find_all_images(root, f"{split}{year}", self.layout) for split in self.files}
        self.splits = {split: list(file.images) for split, file in self.files.items()}
        self.split_of = {name: split for split, names in self.splits.items() for name in names}

    def names(self) -> Sequence[str]:
        """Return the images of both splits, in the order of their files."""
        return list(self.split_of)

    def record(self, name: str) -> Record:
        """Return an image; one without objects is a known negative."""
        split = self.split_of[name]
        file = self.files[split]
        image = inside(self.folders[split], file.images[name].file, file.path)
        truth = (lambda: file.draw(name, self.values, self.classes)) if file.is_drawn(name) else None
        return Record(name, image, file.tags(name, self.index), truth)


def find_year(root: Path, layout: str) -> Literal[2014, 2017]:
    """Return the year whose annotations exist.

    Raises:
        DataError: the annotations of neither or both years exist.
    """
    found = [year for year in YEARS if any((root / "annotations").glob(f"instances_*{year}.json"))]
    if not found:
        raise DataError(f"{root / 'annotations'}: holds no instances_train2017.json; expected: {layout}")
    if len(found) > 1:
        raise DataError(f"{root / 'annotations'}: holds both years; choose one with --set year=2017")
    return found[0]


def find_all_images(root: Path, folder: str, layout: str) -> Path:
    """Return the folder with the images of a split.

    Raises:
        DataError: there is none.
    """
    for path in (root / folder, root / "images" / folder, root / "images"):
        if path.is_dir():
            return path
    raise DataError(f"{root / folder} is missing; expected: {layout}")
