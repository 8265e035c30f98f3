"""Resizing of images and maps without torch, with torch's results.

Shapes: K channels, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BeforeValidator

from tag2mask.fields import Form
from tag2mask.settings import LARGEST_SIDE


def pixels_or_own(side: Any) -> Any:
    """Validate a short side: pixels, ``own`` or None."""
    if side is None or side == "own" or (type(side) is int and 0 < side <= LARGEST_SIDE):
        return side
    raise ValueError(f"expected an integer from 1 to {LARGEST_SIDE} (pixels), or own")


Edges = Literal["pad", "drop"]  # for sides that are not a multiple of the patch size: pad them, or drop the rest
LookSide = Annotated[int | Literal["own"] | None, BeforeValidator(pixels_or_own), Form("INTEGER|own")]

LONGEST = 16  # longest side, in multiples of the target short side: a line of pixels would fill the memory otherwise


def fitted_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return height and width with the short side ``side`` and the image's aspect ratio.

    If the aspect ratio is above ``LONGEST``, the long side is ``LONGEST * side`` and the short side is smaller.
    """
    short, long = sorted((height, width))
    if long > LONGEST * short:
        fitted = max(round(LONGEST * side * short / long), 1), LONGEST * side
    else:
        fitted = side, max(round(long * (side / short)), side)
    return fitted if height <= width else fitted[::-1]


def scaled_size(height: int, width: int, short: int, scale: float) -> tuple[int, int]:
    """Return height and width with the short side ``scale * short``; each is rounded once, from the original size.

    At scale 1 the long side is at most ``LONGEST * short``, or its original length if that is larger.
    """
    long = max(height, width)
    factor = scale * min(short / min(height, width), max(LONGEST * short, long) / long)
    return max(round(height * factor), 1), max(round(width * factor), 1)


def short_side(side: int | Literal["own"], height: int, width: int, patch: int) -> int:
    """Return the short side in pixels; ``own`` is the image's, rounded to whole patches, at least one."""
    return max(round(min(height, width) / patch), 1) * patch if side == "own" else side


def resize_array(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize an image ``(bands, Y, X)``, bicubic and antialiased, clipped to each band's range: bicubic overshoots."""
    return np.stack([resize_band(band, size).clip(band.min(), band.max()) for band in image])


def resize_band(band: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize one band ``(Y, X)``."""
    return np.asarray(Image.fromarray(band).resize(size[::-1], Image.Resampling.BICUBIC))


def resize_bilinear(maps: NDArray[np.float32], size: Sequence[int]) -> NDArray[np.float32]:
    """Resize maps ``(..., Y, X)`` bilinearly, without aligned corners or antialiasing."""
    Y, X = size
    if maps.shape[-1] != X:
        left, right, share = interpolation_places(maps.shape[-1], X)
        maps = maps[..., left] * (1 - share) + maps[..., right] * share
    if maps.shape[-2] != Y:
        upper, lower, share = interpolation_places(maps.shape[-2], Y)
        maps = maps[..., upper, :] * (1 - share)[:, None] + maps[..., lower, :] * share[:, None]
    return maps


def interpolation_places(old: int, new: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return, for each of ``new`` positions, the old positions before and after it and the weight of the latter."""
    place = ((np.arange(new) + 0.5) * (old / new) - 0.5).clip(0, old - 1)
    before = place.astype(np.int64)
    return before, np.minimum(before + 1, old - 1), (place - before).astype(np.float32)
