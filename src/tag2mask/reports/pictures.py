"""Pictures for the page, as data URIs.

Shapes: Y X pixels.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tag2mask.masks.overlay import Picture


@dataclass(frozen=True)
class Cell:
    """A picture, as a data URI, and its caption."""

    picture: str
    caption: str


HEAT = np.array([[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]], np.float64)


def heat(picture: Picture, map_yx: NDArray[Any]) -> Picture:
    """Draw a normalised map over an image, which shows through where the map is low."""
    position = map_yx.clip(0, 1) * (len(HEAT) - 1)
    lower = np.minimum(position.astype(int), len(HEAT) - 2)
    share = (position - lower)[..., None]
    colours = HEAT[lower] * (1 - share) + HEAT[lower + 1] * share
    cover = (0.35 + 0.4 * map_yx.clip(0, 1))[..., None]
    return np.asarray((1 - cover) * picture + cover * colours, np.uint8)


def data_uri(picture: Picture, side: int = 320) -> str:
    """Return a picture as the data URI of a JPEG with at most ``side`` pixels on the long side."""
    image = Image.fromarray(picture)
    image.thumbnail((side, side))
    if max(image.size) < side // 2:
        factor = side // max(image.size)
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
