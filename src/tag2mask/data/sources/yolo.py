"""Your own data: boxes or outlines in YOLO format, one text file per image. Layout and choices: yolo.md.

Shapes: Y X pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from tag2mask.data.classes import Classes
from tag2mask.data.folder import SPLITS, find_images, read_lines, split_called
from tag2mask.data.sources.own import OutlineSettings, read_splits
from tag2mask.data.sources.record import LabelImage, Record, Source
from tag2mask.errors import DataError
from tag2mask.settings import read_yaml

IMAGES, LABELS = "images", "labels"
CONFIGS = ("data.yaml", "dataset.yaml", "classes.txt", "labels/classes.txt")
BOX, CORNERS = 4, 6  # numbers after the class: of a box, and at least of a polygon
SLACK = 0.01  # how far a point may be outside the image, as a fraction of the side


@dataclass(frozen=True, slots=True)
class Object:
    """One line: the class, and the corners as fractions of width and height, x first; a box has no corners."""

    tag: int
    corners: tuple[float, ...]


class Yolo(Source):
    """The classes are the names in ``data.yaml``, or the lines of ``classes.txt``."""

    settings_class = OutlineSettings
    settings: OutlineSettings
    layout = (
        "ROOT/images/train/NAME.jpg with ROOT/labels/train/NAME.txt, or ROOT/train/images/NAME.jpg with "
        "ROOT/train/labels/NAME.txt, and so on for val, or without splits; and ROOT/data.yaml or ROOT/classes.txt"
    )

    def __init__(self, root: Path, settings: OutlineSettings) -> None:
        config = next((path for name in CONFIGS if (path := root / name).is_file()), None)
        if config is None:
            raise DataError(f"{root / CONFIGS[0]} is missing; expected: {self.layout}")
        names, self.boxes = read_config(config)
        self.settings, self.bands = settings, settings.bands
        self.classes = Classes(names, "background" if settings.background else None)
        self.images: dict[str, Path] = {}
        self.labels: dict[str, Path] = {}
        splits: dict[str, list[str]] = {}
        for folder in image_folders(root, self.layout):
            beside = folder.parent / LABELS
            for inside, image in find_images(folder).items():
                name = (folder.parent.relative_to(root) / inside).as_posix()
                self.images[name], self.labels[name] = image, beside / f"{inside}.txt"
                first = PurePosixPath(name).parts[0]
                if first != name and first.lower() in SPLITS:
                    splits.setdefault(split_called(first), []).append(name)
        parts = list(splits.values()) or [list(self.images)]
        # An image without a file has no objects, but a split without any file was never annotated.
        self.seen = {name for part in parts if any(self.labels[name].is_file() for name in part) for name in part}
        self.splits = splits or read_splits(root, self.images)

    def names(self) -> Sequence[str]:
        """Return the images folder by folder, sorted."""
        return list(self.images)

    def record(self, name: str) -> Record:
        """Return an image; one without objects is a known negative. Boxes give tags but no truth."""
        record = Record(name, self.images[name], None)
        if name not in self.seen:
            return record
        objects = read_objects(self.labels[name], self.classes, self.boxes)
        tags = tuple(sorted({one.tag for one in objects}))
        if not all(one.corners for one in objects):
            return Record(name, self.images[name], tags)
        return Record(name, self.images[name], tags, lambda: self.draw(objects, record))

    def draw(self, objects: Sequence[Object], record: Record) -> LabelImage:
        """Draw the label image ``(Y, X)``, large outlines first.

        Pixels outside are background, or ignore if the classes have no background.
        """
        height, width = record.pixels(self.bands).shape[:2]
        labels = np.full((height, width), 0 if self.classes.background else self.classes.ignore, np.int64)
        regions = []
        for one in objects:
            canvas = Image.new("1", (width, height))
            points = [(x * width, y * height) for x, y in zip(one.corners[::2], one.corners[1::2], strict=True)]
            ImageDraw.Draw(canvas).polygon(points, fill=1)
            regions.append((np.asarray(canvas), one.tag + self.classes.offset))
        for region, value in sorted(regions, key=lambda pair: -int(pair[0].sum())):
            labels[region] = value
        return labels


def read_config(path: Path) -> tuple[tuple[str, ...], bool]:
    """Return the names of the classes, and whether lines hold key points, of which only the boxes are used.

    Raises:
        DataError: it names no classes.
    """
    content: Mapping[str, Any] = {"names": [line for line in read_lines(path) if line]}
    if path.suffix == ".yaml":
        content = read_yaml(path)
    names = content.get("names")
    if isinstance(names, dict) and sorted(names, key=str) == sorted(range(len(names)), key=str):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{path}: names no classes; write names: [cat, dog], or a mapping of numbers from 0 to names")
    return tuple(str(name) for name in names), "kpt_shape" in content


def image_folders(root: Path, layout: str) -> list[Path]:
    """Return the folders ``images`` in the root and in the folder of each split.

    Raises:
        DataError: none has a folder ``labels`` beside it.
    """
    inner = sorted(path for path in root.iterdir() if path.is_dir() and path.name.lower() in SPLITS)
    found = [path / IMAGES for path in (root, *inner) if (path / IMAGES).is_dir()]
    if not any((path.parent / LABELS).is_dir() for path in found):
        raise DataError(f"{root / LABELS} is missing; expected: {layout}")
    return found


def read_objects(path: Path, classes: Classes, boxes: bool) -> list[Object]:
    """Read the objects of an image; a missing file means no objects.

    Raises:
        DataError: a line is neither a box nor a polygon of a known class.
    """
    objects = []
    for number, text in enumerate(read_lines(path) if path.is_file() else [], start=1):
        if not text:
            continue
        where = f"{path}, line {number}"
        try:
            first, *shares = (float(word) for word in text.split())
        except ValueError:
            raise DataError(
                f"{where}: must hold only numbers: a class, then coordinates as fractions of the sides"
            ) from None
        if first not in range(len(classes.names)):
            raise DataError(f"{where}: class {text.split()[0]} is not one of the {len(classes.names)} classes")
        is_box = boxes or len(shares) == BOX
        if len(shares) < BOX or (not is_box and (len(shares) < CORNERS or len(shares) % 2)):
            raise DataError(f"{where}: {len(shares)} numbers are neither a box (4) nor a polygon (6 or more, in pairs)")
        if not all(
            math.isfinite(share) and -SLACK <= share <= 1 + SLACK for share in shares[: BOX if is_box else None]
        ):
            raise DataError(f"{where}: a coordinate is not a fraction of the side, from 0 to 1")
        objects.append(Object(int(first), () if is_box else tuple(shares)))
    return objects
