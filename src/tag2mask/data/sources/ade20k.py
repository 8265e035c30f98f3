"""ADE20K in the version of the scene parsing challenge: 150 classes. Layout and choices: ade20k.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tag2mask.data.classes import Classes
from tag2mask.data.folder import find_images
from tag2mask.data.reading import read_mask
from tag2mask.data.sources.ade20k_names import NAMES
from tag2mask.data.sources.record import LabelImage, Record, Source, require_layout, require_values, tags_in
from tag2mask.settings import Settings

SPLITS = {"train": "training", "val": "validation"}


class Ade20k(Source):
    """The 150 classes of the challenge; all other pixels are ignored."""

    layout = (
        "ROOT/ADEChallengeData2016/ (or ROOT itself) with images/training/*.jpg, images/validation/*.jpg, "
        "annotations/training/*.png, annotations/validation/*.png"
    )

    def __init__(self, root: Path, settings: Settings) -> None:
        inner = root / "ADEChallengeData2016"
        self.folder = root if (root / "images").is_dir() and not inner.is_dir() else inner
        require_layout(self.folder, [f"images/{folder}" for folder in SPLITS.values()], self.layout)
        self.settings = settings
        self.classes = Classes(NAMES)
        self.images: dict[str, Path] = {}
        lists = {}
        for split, folder in SPLITS.items():
            found = find_images(self.folder / "images" / folder)
            masks = (path.stem for path in (self.folder / "annotations" / folder).glob("*.png"))
            lists[split] = sorted({*found, *masks})
            # A mask without an image means that the image is missing.
            self.images |= {name: found.get(name, self.folder / f"images/{folder}/{name}.jpg") for name in lists[split]}
        self.splits = lists

    def names(self) -> Sequence[str]:
        """Return the training images, then the validation images."""
        return list(self.images)

    def record(self, name: str) -> Record:
        """Return an image; its tags are all classes in its mask, even those of a single pixel."""
        image = self.images[name]
        mask = self.folder / "annotations" / image.parent.name / f"{name}.png"
        if not mask.is_file():
            return Record(name, image, None)
        labels = self.read_truth(mask)
        return Record(name, image, tags_in(labels, self.classes), lambda: labels)

    def read_truth(self, path: Path) -> LabelImage:
        """Read a mask: 1 to 150 become 0 to 149; 0, "other", becomes ignore."""
        raw = read_mask(path)
        return require_values(path, np.where(raw == 0, self.classes.ignore, raw - 1), self.classes)
