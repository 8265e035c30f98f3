"""A mask over its photograph.

Shapes: Y X pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tag2mask.data import Classes

Picture = NDArray[np.uint8]


def rgb(pixels: NDArray[Any]) -> Picture:
    """Any photograph ``(Y, X, bands)`` as ``(Y, X, 3)``: the first three bands, or one band as gray."""
    three = pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
    if three.dtype == np.uint8:
        return np.asarray(three)
    low, high = float(three.min()), float(three.max())
    return np.asarray((three.astype(np.float64) - low) / max(high - low, 1e-8) * 255, np.uint8)


def overlay(picture: Picture, labels: NDArray[Any], classes: Classes) -> Picture:
    """A label image over a photograph; background and ignore let the photograph through."""
    mixed = (3 * classes.palette().astype(np.uint16))[np.minimum(labels, 255)]
    mixed += 2 * picture.astype(np.uint16)
    clear = labels == classes.ignore
    if classes.background is not None:
        clear = clear | (labels == 0)
    return np.where(clear[..., None], picture, (mixed // 5).astype(np.uint8))
