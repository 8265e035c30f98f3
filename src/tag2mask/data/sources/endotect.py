"""HyperKvasir, the data of EndoTect: the lower gastrointestinal tract. Layout and choices: endotect.md."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tag2mask.data.classes import Classes
from tag2mask.data.folder import is_image
from tag2mask.data.opening import open_image, readable
from tag2mask.data.sources.record import LabelImage, Record, Source, require_layout
from tag2mask.data.tags_table import indices, open_csv, tag_index
from tag2mask.errors import DataError
from tag2mask.names import inside
from tag2mask.settings import Settings

GRADE = "ulcerative-colitis-grade-"
NAMES = (
    "bbps-2-3",
    "polyps",
    "cecum",
    "dyed-lifted-polyps",
    "dyed-resection-margins",
    "bbps-0-1",
    f"{GRADE}2",
    "retroflex-rectum",
    f"{GRADE}1",
    f"{GRADE}3",
    "impacted-stool",
    f"{GRADE}0-1",
    f"{GRADE}2-3",
    f"{GRADE}1-2",
    "ileum",
    "hemorrhoids",
)
SHARE = 0.7  # fraction of the images for training
SEED = 42
BRIGHT = 128  # masks are JPEG, so white is only nearly white


class EndoTect(Source):
    """One tag per image; only polyps have masks."""

    layout = (
        "ROOT/labeled-images/lower-gi-tract/GROUP/CLASS/*.jpg, ROOT/labeled-images/image-labels.csv (optional), "
        "ROOT/segmented-images/masks/*.jpg (optional)"
    )

    def __init__(self, root: Path, settings: Settings) -> None:
        require_layout(root, ["labeled-images/lower-gi-tract"], self.layout)
        self.settings = settings
        self.masks = root / "segmented-images/masks"
        self.classes = Classes(NAMES, "background")
        tract = root / "labeled-images/lower-gi-tract"
        self.images = {path.stem: path for path in sorted(tract.glob("*/*/*")) if is_image(path)}
        for name, group, finding in read_findings(root / "labeled-images/image-labels.csv"):
            # A row without an image means that the image is missing.
            missing = inside(tract, f"{group}/{finding}/{name}.jpg", root / "labeled-images/image-labels.csv")
            self.images.setdefault(name, missing)
        if not self.images:
            raise DataError(f"{tract}: holds no images; expected: {self.layout}")
        drawn = sorted(self.images, key=lambda name: hashlib.sha256(f"{SEED} {name}".encode()).digest())
        count = round(SHARE * len(drawn))
        self.splits = {"train": sorted(drawn[:count]), "val": sorted(drawn[count:])}

    def names(self) -> Sequence[str]:
        """Return all images, sorted."""
        return sorted(self.images)

    def record(self, name: str) -> Record:
        """Return an image; its tag is its folder's name."""
        image = self.images[name]
        tag = tag_index(image.parent.name, indices(NAMES), str(image.parent))
        mask = self.masks / f"{name}.jpg"
        is_drawn = NAMES[tag] == "polyps" and mask.is_file()
        return Record(name, image, (tag,), (lambda: self.read_truth(mask)) if is_drawn else None)

    def read_truth(self, path: Path) -> LabelImage:
        """Read a mask of polyps and background."""
        with readable(path, "mask"), open_image(path) as image:
            bright = np.asarray(image.convert("L")) >= BRIGHT
        return np.where(bright, NAMES.index("polyps") + self.classes.offset, 0).astype(np.int64)


def read_findings(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield image, group and class of the rows of the lower tract, if the table exists.

    Raises:
        DataError: it has other columns, or is no CSV in UTF-8.
    """
    if not path.is_file():
        return
    with open_csv(path) as file:
        for row in csv.DictReader(file, restval=""):
            try:
                if row["Organ"] == "Lower GI":
                    yield Path(row["Video file"]).stem, row["Classification"], row["Finding"]
            except KeyError as error:
                raise DataError(f"{path}, line 1: column {error} is missing") from None
