"""Checks of outlines from files, before C code that does not check its input draws them.

Shapes: Y X pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

BEYOND = 8  # how far a point may be outside its image, in multiples of the longer side
LONGEST = 2**22  # pixels along an outline
CODES, MORE, SIGN, BITS = (48, 111), 0x20, 0x10, 5  # COCO's compressed runs: range of characters, and the bits of each


def require_near(points: ArrayLike, size: Sequence[int]) -> None:
    """Check that the points of an outline (``x y x y ...`` or pairs) are in or near an image of ``size`` ``(Y, X)``.

    Raises:
        ValueError: a point is not finite or is too far away, or the outline is too long.
    """
    flat = np.asarray(points, np.float64).ravel()
    if flat.size % 2:
        raise ValueError("an outline with an odd number of coordinates")
    reach = BEYOND * max(size)
    if not np.isfinite(flat).all() or (flat < -reach).any() or (flat > max(size) + reach).any():
        raise ValueError(f"a point that is not a number or is far outside {size[1]} x {size[0]} pixels")
    corners = flat.reshape(-1, 2)
    if np.abs(corners - np.roll(corners, 1, 0)).max(1).sum() > LONGEST:
        raise ValueError(f"an outline longer than {LONGEST} pixels")


def require_runs(coded: Mapping[str, Any], size: Sequence[int]) -> None:
    """Check that a COCO run-length code, plain or compressed, covers exactly an image of ``size`` ``(Y, X)``.

    Raises:
        ValueError: it does not.
    """
    if list(coded["size"]) != list(size):
        raise ValueError(f"a run-length code for the size {str(coded['size'])[:40]}")
    counts = coded["counts"]
    runs = np.asarray(counts, np.int64) if isinstance(counts, list) else decompress_runs(counts)
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise ValueError(f"a run-length code that does not fill {size[1]} x {size[0]} pixels")


def decompress_runs(text: str | bytes) -> np.ndarray:
    """Return the runs of a compressed code.

    Numbers have 5 bits per character, lowest first; from the third run on, they are differences.

    Raises:
        ValueError: it is not such a code.
    """
    codes = np.frombuffer(text.encode() if isinstance(text, str) else text, np.uint8).astype(np.int64)
    if not codes.size or codes.min() < CODES[0] or codes.max() > CODES[1]:
        raise ValueError("a run-length code with invalid characters")
    codes -= CODES[0]
    ends = np.flatnonzero(codes & MORE == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if not ends.size or ends[-1] != codes.size - 1 or (ends - starts).max() > 7:
        raise ValueError("a run-length code that is truncated")
    places = np.arange(codes.size) - np.repeat(starts, ends - starts + 1)
    runs = np.add.reduceat((codes & (MORE - 1)) << (BITS * places), starts)
    runs -= np.where(codes[ends] & SIGN, 1 << (BITS * (ends - starts + 1)), 0)
    for first in (1, 2):
        runs[first::2] = runs[first::2].cumsum()
    return np.asarray(runs)
