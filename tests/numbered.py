"""What methods are built and trained with where there is no data: classes, and the first step of a training."""

from __future__ import annotations

from tag2mask.data import Classes
from tag2mask.methods import Progress

START = Progress(step=0, steps=1, epoch=0, epochs=1)


def numbered(count: int) -> Classes:
    """Classes 0, 1, 2, ..., without a background."""
    return Classes(tuple(map(str, range(count))))
