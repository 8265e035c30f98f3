"""The scores of a mask set: how likely each class of an image is, at about the resolution of patches.

::

    scores/NAME.png    8-bit gray; planes of equal size stacked vertically, 255 means a probability of 1

The first plane is the background's, if the classes have one; the planes of the image's tags follow, in the order of
``image_tags`` in the manifest. Each plane covers the whole image, without padding. An image with neither a background
nor tags has no file.
Shapes: S planes, h w patch grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tag2mask.errors import DataError
from tag2mask.files import write_bytes
from tag2mask.masks.packed import Packed, labels_in
from tag2mask.names import inside

SCORES = "scores"
ONE = 255  # stored value of a probability of 1

Planes = NDArray[np.uint8]


def score_path(folder: Path, name: str) -> Path:
    """Path of an image's scores.

    Raises:
        DataError: the name points outside the folder.
    """
    return inside(folder / SCORES, f"{name}.png", folder)


def write_scores(path: Path, planes_Shw: Planes) -> None:
    """Write one or more planes atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, scores_png(planes_Shw))


def scores_png(planes_Shw: Planes) -> bytes:
    """Encode one or more planes."""
    content = BytesIO()
    Image.fromarray(planes_Shw.reshape(-1, planes_Shw.shape[2])).save(content, format="PNG")
    return content.getvalue()


@dataclass(frozen=True)
class ScoreFile:
    """The scores of one image: their file, and the pixel values of the classes of their planes."""

    path: Path | Packed
    values: tuple[int, ...]

    def read(self) -> Planes:
        """Read the planes ``(S, h, w)``; without classes, the result has shape ``(0, 1, 1)``.

        Raises:
            DataError: the file is missing or unreadable, or does not hold that many 8-bit planes.
        """
        if not self.values:
            return np.zeros((0, 1, 1), np.uint8)
        stacked = labels_in(self.path)
        if len(stacked) % len(self.values) or stacked.max() > ONE:
            raise DataError(
                f"{self.path}: is not a stack of {len(self.values)} 8-bit planes, one per class of the image; delete "
                "it and run the same tag2mask masks command again"
            )
        return stacked.astype(np.uint8).reshape(len(self.values), -1, stacked.shape[1])
