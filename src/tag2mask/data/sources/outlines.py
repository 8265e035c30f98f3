"""Outlines from a file, looked over before code in C draws them, which believes every number.

Shapes: Y X pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

BEYOND = 8  # times the longer side: as far as a point may lie outside of its image
LONGEST = 2**22  # pixels along an outline
CODES, MORE, SIGN, BITS = (48, 111), 0x20, 0x10, 5  # of COCO's compressed runs: characters, and what is in each


def require_near(points: ArrayLike, size: Sequence[int]) -> None:
    """The points ``x y x y ...`` or pairs of an outline are numbers in reach of an image of ``size`` ``(Y, X)``.

    Raises:
        ValueError: one is not, or the outline is too long.
    """
    flat = np.asarray(points, np.float64).ravel()
    if flat.size % 2:
        raise ValueError("an outline with an x without y")
    reach = BEYOND * max(size)
    if not np.isfinite(flat).all() or (flat < -reach).any() or (flat > max(size) + reach).any():
        raise ValueError(f"a point that is no number or lies far outside of {size[1]} x {size[0]} pixels")
    corners = flat.reshape(-1, 2)
    if np.abs(corners - np.roll(corners, 1, 0)).max(1).sum() > LONGEST:
        raise ValueError(f"an outline of more than {LONGEST} pixels")


def require_runs(coded: Mapping[str, Any], size: Sequence[int]) -> None:
    """A run-length code of COCO's, plain or compressed, fills an image of ``size`` ``(Y, X)`` and no more.

    Raises:
        ValueError: it does not.
    """
    if list(coded["size"]) != list(size):
        raise ValueError(f"a run-length code for {str(coded['size'])[:40]}")
    counts = coded["counts"]
    runs = np.asarray(counts, np.int64) if isinstance(counts, list) else decompress_runs(counts)
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise ValueError(f"a run-length code that does not fill {size[1]} x {size[0]} pixels")


def decompress_runs(text: str | bytes) -> np.ndarray:
    """The runs of a compressed code: numbers of 5 bits a character, lowest first, from the third run on differences.

    Raises:
        ValueError: it is none.
    """
    codes = np.frombuffer(text.encode() if isinstance(text, str) else text, np.uint8).astype(np.int64)
    if not codes.size or codes.min() < CODES[0] or codes.max() > CODES[1]:
        raise ValueError("a run-length code of other characters")
    codes -= CODES[0]
    ends = np.flatnonzero(codes & MORE == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if not ends.size or ends[-1] != codes.size - 1 or (ends - starts).max() > 7:
        raise ValueError("a run-length code that is cut short")
    places = np.arange(codes.size) - np.repeat(starts, ends - starts + 1)
    runs = np.add.reduceat((codes & (MORE - 1)) << (BITS * places), starts)
    runs -= np.where(codes[ends] & SIGN, 1 << (BITS * (ends - starts + 1)), 0)
    for first in (1, 2):
        runs[first::2] = runs[first::2].cumsum()
    return np.asarray(runs)
