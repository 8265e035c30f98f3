"""PASCAL VOC 2012, with SBD's masks if they exist. Layout and choices: voc.md."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tag2mask.data.classes import Classes
from tag2mask.data.folder import read_lines
from tag2mask.data.reading import read_mask
from tag2mask.data.sources.record import LabelImage, Record, Source, require_layout, require_values, tags_in
from tag2mask.data.sources.safe_npy import read_label_vectors
from tag2mask.data.tags_table import indices, tag_index
from tag2mask.errors import DataError
from tag2mask.files import is_file, regular
from tag2mask.settings import Settings

NAMES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
LISTS = ("train_aug", "train", "val")
# Images per class in the commonly used lists, from cls_labels.npy.
PUBLISHED = {
    "train_aug": "590 504 705 468 714 393 1150 1005 1228 267 613 1188 445 492 4155 522 300 649 503 567",
    "val": "90 79 103 72 96 74 127 119 123 71 75 128 79 76 445 85 57 90 84 74",
}


class VocSettings(Settings):
    """Settings of VOC; files are below the root."""

    tags: Literal["xml", "npy", "masks"] = Field("xml", description="Where the tags come from")
    npy: str = Field("cls_labels.npy", description="File of label vectors, if tags is npy")
    lists: str | None = Field(None, description="Folder of split lists [VOC2012/ImageSets/Segmentation]")


class Voc(Source):
    """``VOC2012`` with its split lists."""

    settings_class = VocSettings
    settings: VocSettings
    layout = (
        "ROOT/VOCdevkit/VOC2012/ (or ROOT/VOC2012/, or ROOT itself) with JPEGImages/ID.jpg, Annotations/ID.xml, "
        "SegmentationClass/ID.png or SegmentationClassAug/ID.png, ImageSets/Segmentation/{train_aug,train,val}.txt"
    )

    def __init__(self, root: Path, settings: VocSettings) -> None:
        inner = [root / "VOCdevkit/VOC2012", root / "VOC2012", root]
        self.folder = next((path for path in inner if (path / "JPEGImages").is_dir()), inner[0])
        require_layout(self.folder, ["JPEGImages"], self.layout)
        self.settings = settings
        self.classes = Classes(NAMES, "background")
        self.splits = read_lists(root / settings.lists if settings.lists else self.folder / "ImageSets/Segmentation")
        masks = [self.folder / name for name in ("SegmentationClassAug", "SegmentationClass")]
        self.masks = [path for path in masks if path.is_dir()]
        self.vectors = read_label_vectors(root / settings.npy) if settings.tags == "npy" else {}

    def names(self) -> Sequence[str]:
        """Return the images of all lists, each once."""
        return list(dict.fromkeys(name for names in self.splits.values() for name in names))

    def record(self, name: str) -> Record:
        """Return an image; the settings decide where its tags come from."""
        mask = next((path for folder in self.masks if is_file(path := folder / f"{name}.png")), None)
        truth = None if mask is None else lambda: self.read_truth(mask)
        if self.settings.tags == "xml":
            tags: tuple[int, ...] | None = read_annotation(self.folder / "Annotations" / f"{name}.xml")
        elif self.settings.tags == "npy":
            tags = read_class_vector(self.vectors.get(name), f"{self.settings.npy}, {name}")
        else:
            tags = None if truth is None else tags_in(truth(), self.classes)
        return Record(name, self.folder / "JPEGImages" / f"{name}.jpg", tags, truth)

    def read_truth(self, path: Path) -> LabelImage:
        """Read a mask: 0 is background, class index + 1 a class, 255 void."""
        return require_values(path, read_mask(path), self.classes)

    def published(self) -> Mapping[str, Sequence[int]]:
        """Return the numbers for ``train_aug`` and ``val``."""
        return {split: [int(count) for count in counts.split()] for split, counts in PUBLISHED.items()}


def read_lists(folder: Path) -> dict[str, list[str]]:
    """Read the lists that exist, of names or of lines such as ``/JPEGImages/ID.jpg /SegmentationClassAug/ID.png``.

    Raises:
        DataError: no list exists, or one is not text.
    """
    paths = [path for name in LISTS if (path := folder / f"{name}.txt").is_file()]
    if not paths:
        raise DataError(
            f"{folder}: holds none of {', '.join(f'{name}.txt' for name in LISTS)}; "
            "name the folder of lists with --set lists=FOLDER"
        )
    return {path.stem: [Path(line.split()[0]).stem for line in read_lines(path) if line] for path in paths}


def read_annotation(path: Path) -> tuple[int, ...]:
    """Return the classes of an annotation's objects, including difficult ones.

    Raises:
        DataError: it is missing or not XML, or a class is unknown.
    """
    try:
        objects = ET.parse(regular(path)).getroot().findall("object")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); or use --set tags=npy or tags=masks") from None
    except (ET.ParseError, LookupError, ValueError) as error:  # the last two: an unknown encoding
        raise DataError(f"{path}: is not valid XML ({error})") from None
    found = {(one.findtext("name") or "").strip() for one in objects}
    return tuple(sorted(tag_index(name, indices(NAMES), str(path)) for name in found))


def read_class_vector(vector: NDArray[Any] | None, where: str) -> tuple[int, ...] | None:
    """Return the classes marked in a vector; None without a vector."""
    if vector is None:
        return None
    if vector.shape != (len(NAMES),):
        raise DataError(f"{where}: has shape {vector.shape}, expected ({len(NAMES)},)")
    return tuple(np.flatnonzero(vector).tolist())
