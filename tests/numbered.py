"""Classes for methods that are built without data."""

from __future__ import annotations

from tag2mask.data import Classes


def numbered(count: int) -> Classes:
    """Classes 0, 1, 2, ..., without a background."""
    return Classes(tuple(map(str, range(count))))
