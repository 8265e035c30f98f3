"""Spreading labels over the features of patches, within an image and to others. Pure functions.

Similarity is the cosine of two features. Shapes: D width of features, N marks, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tag2mask.data.resizing import resize_bilinear
from tag2mask.inference.arrays import Floats
from tag2mask.masks.paint import Labels, otsu
from tag2mask.viewer.pictures import Size

EPS = 1e-8

Points = Sequence[tuple[int, int]]


def unit(features: Floats) -> Floats:
    """Scale features ``(..., D)`` to length 1."""
    return np.asarray(features / (np.linalg.norm(features, axis=-1, keepdims=True) + EPS), np.float32)


def cells_of(points: Points, size: Size, grid: Size) -> NDArray[np.int64]:
    """Row and column ``(N, 2)`` in a patch grid of pixels (x, y) of an image of this size."""
    places = np.asarray([(y, x) for x, y in points], np.float64).reshape(-1, 2)
    cells = places * np.asarray(grid) / np.asarray(size)
    return np.asarray(cells.astype(np.int64).clip(0, np.asarray(grid) - 1))


def spread(features_hwD: Floats, marks: Mapping[int, Points], labels: Labels) -> Labels:
    """Give pixels the class of the mark that they resemble most, if they resemble it enough.

    Enough is more than Otsu's threshold of the similarities of all patches. ``marks`` are pixels (x, y) by class; other
    pixels keep their label in ``labels (Y, X)``.
    """
    size = (labels.shape[0], labels.shape[1])
    unit_hwD, grid = unit(features_hwD), (features_hwD.shape[0], features_hwD.shape[1])
    best_YX = np.zeros(size, np.float32)
    result = labels.copy()
    for value, points in marks.items():
        rows, columns = cells_of(points, size, grid).T
        alike_hw = (unit_hwD @ unit_hwD[rows, columns].T).max(-1)
        margin_YX = resize_bilinear(alike_hw, size) - np.float32(otsu(alike_hw))
        chosen = margin_YX > best_YX
        result[chosen] = value
        best_YX = np.maximum(best_YX, margin_YX)
    for value, points in marks.items():
        for x, y in points:
            result[y, x] = value
    return result


def on_grid(labels: Labels, grid: Size) -> Labels:
    """Labels at the centres of patches, ``(h, w)``."""
    rows = (np.arange(grid[0]) * 2 + 1) * labels.shape[0] // (2 * grid[0])
    columns = (np.arange(grid[1]) * 2 + 1) * labels.shape[1] // (2 * grid[1])
    return np.asarray(labels[rows[:, None], columns])


class Prototype:
    """A class as an image shows it: a feature, and the similarity that separates its patches from the others."""

    def __init__(self, features_hwD: Floats, labels: Labels, value: int) -> None:
        """Learn from the patches of an image and its mask ``(Y, X)``.

        Raises:
            ValueError: no patch shows the class.
        """
        unit_hwD = unit(features_hwD)
        inside_hw = on_grid(labels, (features_hwD.shape[0], features_hwD.shape[1])) == value
        if not inside_hw.any():
            raise ValueError("no patch shows the class")
        self.feature_D = unit(unit_hwD[inside_hw].mean(0))
        alike_hw = unit_hwD @ self.feature_D
        outside = alike_hw[~inside_hw].mean() if (~inside_hw).any() else 0.0
        self.enough = float(alike_hw[inside_hw].mean() + outside) / 2

    def likeness(self, features_hwD: Floats) -> float:
        """How much the most similar tenth of an image's patches resemble the class."""
        alike = np.sort((unit(features_hwD) @ self.feature_D).ravel())
        return float(alike[-max(len(alike) // 10, 1) :].mean())

    def propose(self, features_hwD: Floats, labels: Labels, value: int, empty: int | None) -> Labels:
        """Return a mask ``(Y, X)`` where ``value`` covers the similar pixels; others lose it to ``empty`` if given."""
        size = (labels.shape[0], labels.shape[1])
        alike_YX = resize_bilinear(unit(features_hwD) @ self.feature_D, size)
        kept = labels if empty is None else np.where(labels == value, empty, labels)
        return np.asarray(np.where(alike_YX > self.enough, value, kept))
