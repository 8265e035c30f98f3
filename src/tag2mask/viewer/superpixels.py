"""Superpixels of an image in three sizes.

Shapes: Y X pixels.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.segmentation import slic

from tag2mask.masks.overlay import Picture

SIDES = (12, 24, 48)  # of a superpixel, in pixels of an image with a longer side of LONGEST
LONGEST = 640
COMPACTNESS = 8.0


def superpixels(picture: Picture, size: int) -> NDArray[np.uint16]:
    """Number of the superpixel of each pixel ``(Y, X)``, by SLIC in an image ``(Y, X, 3)``; larger images are reduced.

    ``size`` is an index into ``SIDES``.
    """
    height, width = picture.shape[:2]
    scale = min(LONGEST / max(height, width), 1.0)
    small = (max(round(height * scale), 1), max(round(width * scale), 1))
    reduced = np.asarray(Image.fromarray(picture).resize(small[::-1], Image.Resampling.BOX))
    count = max(math.ceil(small[0] * small[1] / SIDES[size] ** 2), 1)
    labels = slic(reduced, n_segments=count, compactness=COMPACTNESS, start_label=0, channel_axis=-1)
    rows = np.arange(height) * small[0] // height
    columns = np.arange(width) * small[1] // width
    return np.asarray(labels[rows[:, None], columns], np.uint16)
