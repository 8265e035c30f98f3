"""Positions of the tiles of a large image."""

from __future__ import annotations

import math


def starts(length: int, tile: int, overlap: float = 1 / 4) -> list[int]:
    """Start positions of tiles that cover ``length`` evenly and overlap by at least the fraction ``overlap``."""
    if tile >= length:
        return [0]
    count = 1 + math.ceil((length - tile) / max(tile - int(tile * overlap), 1))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def flush_starts(length: int, tile: int, overlap: float = 1 / 4) -> list[int]:
    """Start positions of tiles that overlap by exactly the fraction ``overlap``; only the last is moved to fit."""
    stride = max(tile - int(tile * overlap), 1)
    return [min(start, max(length - tile, 0)) for start in range(0, max(length - tile + stride, 1), stride)]
