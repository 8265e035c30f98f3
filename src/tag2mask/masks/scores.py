"""The scores of a mask set: how likely each class of an image is, about patch by patch.

::

    scores/NAME.png    8-bit gray; planes of one size below each other, 255 is a share of 1

The first plane is the background's, if the classes have one; those of the image's tags follow in the order of the
manifest's ``image_tags``. Each plane covers the whole image, whatever the backbone had to fill up. An image that has
neither a background nor tags has no file.
Shapes: S planes, h w patch grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tag2mask.data.reading import read_mask
from tag2mask.errors import DataError
from tag2mask.files import write_bytes
from tag2mask.names import inside

SCORES = "scores"
ONE = 255  # what a share of 1 is stored as

Planes = NDArray[np.uint8]


def score_path(folder: Path, name: str) -> Path:
    """Where the scores of an image are.

    Raises:
        DataError: the name leads elsewhere.
    """
    return inside(folder / SCORES, f"{name}.png", folder)


def write_scores(path: Path, planes_Shw: Planes) -> None:
    """One plane or more, in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = BytesIO()
    Image.fromarray(planes_Shw.reshape(-1, planes_Shw.shape[2])).save(content, format="PNG")
    write_bytes(path, content.getvalue())


@dataclass(frozen=True)
class ScoreFile:
    """The scores of one image: where they are, and the pixel values of the classes that its planes belong to."""

    path: Path
    values: tuple[int, ...]

    def read(self) -> Planes:
        """The planes ``(S, h, w)``; one pixel of none where nothing competes.

        Raises:
            DataError: missing, unreadable, or not that many planes of 8 bits.
        """
        if not self.values:
            return np.zeros((0, 1, 1), np.uint8)
        stacked = read_mask(self.path)
        if len(stacked) % len(self.values) or stacked.max() > ONE:
            raise DataError(
                f"{self.path}: is no stack of {len(self.values)} planes of 8 bits, one a class of the image; delete it "
                "and run the same tag2mask masks again"
            )
        return stacked.astype(np.uint8).reshape(len(self.values), -1, stacked.shape[1])
