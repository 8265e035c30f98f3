"""Pictures for the page, as data URIs.

Shapes: Y X pixels.
"""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tag2mask.data import Classes

HEAT = np.array([[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]], np.float64)
Picture = NDArray[np.uint8]


def rgb(pixels: NDArray[Any]) -> Picture:
    """Any photograph ``(Y, X, bands)`` as ``(Y, X, 3)``: the first three bands, or one band as gray."""
    three = pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)
    if three.dtype == np.uint8:
        return np.asarray(three)
    low, high = float(three.min()), float(three.max())
    return np.asarray((three.astype(np.float64) - low) / max(high - low, 1e-8) * 255, np.uint8)


def heat(picture: Picture, map_yx: NDArray[Any]) -> Picture:
    """A normalised map over a photograph, which shows through where the map is low."""
    position = map_yx.clip(0, 1) * (len(HEAT) - 1)
    lower = np.minimum(position.astype(int), len(HEAT) - 2)
    share = (position - lower)[..., None]
    colours = HEAT[lower] * (1 - share) + HEAT[lower + 1] * share
    cover = (0.35 + 0.4 * map_yx.clip(0, 1))[..., None]
    return np.asarray((1 - cover) * picture + cover * colours, np.uint8)


def overlay(picture: Picture, labels: NDArray[Any], classes: Classes) -> Picture:
    """A label image over a photograph; background and ignore let the photograph through."""
    colours = classes.palette()[np.minimum(labels, 255)].astype(np.float64)
    clear = labels == classes.ignore
    if classes.background is not None:
        clear = clear | (labels == 0)
    share = np.where(clear, 0.0, 0.6)[..., None]
    return np.asarray(picture * (1 - share) + colours * share, np.uint8)


def data_uri(picture: Picture, side: int = 320) -> str:
    """A JPEG of at most ``side`` pixels on the long side."""
    image = Image.fromarray(picture)
    image.thumbnail((side, side))
    if max(image.size) < side // 2:
        factor = side // max(image.size)
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
