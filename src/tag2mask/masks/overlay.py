"""Overlay of a mask on its image.

Shapes: Y X pixels.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tag2mask.data import Classes, DataSettings
from tag2mask.data.reading import read_image

OVERLAYS = "overlays"

Picture = NDArray[np.uint8]


def read_picture(path: Path, settings: DataSettings) -> Picture:
    """Read an image for display, ``(Y, X, 3)``.

    Raises:
        DataError: it cannot be read, or has another number of bands.
    """
    return rgb(read_image(path, settings.bands), settings)


def rgb(pixels: NDArray[Any], settings: DataSettings) -> Picture:
    """Select the three bands to display from ``(Y, X, bands)``; with fewer than three, the first becomes gray.

    8-bit values are displayed unchanged; other bands are stretched between two percentiles of the image.
    """
    three = pixels[..., settings.rgb or ((0, 1, 2) if pixels.shape[2] >= 3 else (0, 0, 0))]
    if three.dtype == np.uint8:
        return np.asarray(three)
    low, high = np.percentile(three, settings.stretch, axis=(0, 1))
    return np.asarray(((three - low) / np.maximum(high - low, 1e-8)).clip(0, 1) * 255, np.uint8)


def overlay(picture: Picture, labels: NDArray[Any], classes: Classes) -> Picture:
    """Blend a label image with an image; background and ignore are transparent."""
    mixed = (3 * classes.palette().astype(np.uint16))[np.minimum(labels, 255)]
    mixed += 2 * picture.astype(np.uint16)
    clear = labels == classes.ignore
    if classes.background is not None:
        clear = clear | (labels == 0)
    return np.where(clear[..., None], picture, (mixed // 5).astype(np.uint8))


def overlay_jpeg(picture: Picture, labels: NDArray[Any], classes: Classes) -> bytes:
    """Encode a mask drawn over its image ``(Y, X, 3)``."""
    content = BytesIO()
    Image.fromarray(overlay(picture, labels, classes)).save(content, "JPEG", quality=90)
    return content.getvalue()
