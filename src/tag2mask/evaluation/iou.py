"""Scores from counts over the whole data set, not averaged over images (reference: section 5.1).

Shapes: K pixel classes, ... any leading dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rates = NDArray[np.float64]


@dataclass(frozen=True)
class ScoreTable:
    """Scores per class, from 0 to 1; nan for a class in neither truth nor prediction.

    iou + fp + fn = 1. Means skip nan; ``averaged`` is the number of classes in them.
    """

    iou: Rates
    fp: Rates
    fn: Rates
    precision: Rates
    recall: Rates
    pixel_accuracy: float

    @property
    def averaged(self) -> int:
        """Number of classes in the mean IoU."""
        return int((~np.isnan(self.iou)).sum())

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that occur."""
        return mean_known(self.iou)


def iou(counts: NDArray[Any]) -> Rates:
    """Return the intersection over union of each class, from counts ``(K, K + 1)``; nan if a class does not occur.

    Example:
        >>> iou(np.array([[3, 1, 0], [0, 4, 0]]))
        array([0.75, 0.8 ])
    """
    return score_table(counts).iou


def score_table(counts: NDArray[Any]) -> ScoreTable:
    """Return the scores of counts ``(K, K + 1)``: rows are truth, columns predictions, the last one no class."""
    counts = np.asarray(counts, np.float64)
    classes = counts.shape[0]
    hit = np.diagonal(counts[:, :classes])
    true = counts.sum(1)
    predicted = counts[:, :classes].sum(0)
    union = true + predicted - hit
    with np.errstate(divide="ignore", invalid="ignore"):
        return ScoreTable(
            iou=hit / union,
            fp=(predicted - hit) / union,
            fn=(true - hit) / union,
            precision=hit / predicted,
            recall=hit / true,
            pixel_accuracy=float(hit.sum() / counts.sum()) if counts.sum() else float("nan"),
        )


def mean_known(values: Rates) -> float:
    """Return the mean without nan; nan if all values are nan."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def miou_interval(
    per_image: NDArray[Any], draws: int = 1000, share: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the bootstrap interval of the mean IoU: images of ``(images, K, K + 1)`` are drawn with replacement."""
    images, classes = per_image.shape[:2]
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(images, np.full(images, 1 / images), size=draws).astype(np.float64)
    square = per_image[:, :, :classes]
    hit = weights @ np.diagonal(square, axis1=1, axis2=2)
    total = weights @ (per_image.sum(2) + square.sum(1))
    with np.errstate(divide="ignore", invalid="ignore"):
        iou = np.where(total - hit > 0, hit / (total - hit), np.nan)
    scores = np.array([mean_known(row) for row in iou])  # nan for a draw of only void images
    known = scores[~np.isnan(scores)]
    if not known.size:
        return float("nan"), float("nan")
    edge = (1 - share) / 2
    low, high = np.quantile(known, [edge, 1 - edge])
    return float(low), float(high)
