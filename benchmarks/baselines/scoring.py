"""The released evaluation scripts: one pass a threshold, and one comparison a class, over all masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def iou_by_class(truths: Sequence[NDArray[Any]], masks: Sequence[NDArray[Any]], classes: int, ignore: int) -> float:
    """Mean IoU in percent: for every mask and class its true, its predicted and its common pixels."""
    common, true, predicted = np.zeros(classes), np.zeros(classes), np.zeros(classes)
    for truth, mask in zip(truths, masks, strict=True):
        counted = truth != ignore
        for value in range(classes):
            common[value] += ((truth == value) & (mask == value) & counted).sum()
            true[value] += ((truth == value) & counted).sum()
            predicted[value] += ((mask == value) & counted).sum()
    return float(np.nanmean(100 * common / (true + predicted - common)))


def sweep_pass_by_pass(
    best: Sequence[NDArray[Any]],
    values: Sequence[NDArray[Any]],
    truths: Sequence[NDArray[Any]],
    classes: int,
    thresholds: Sequence[float],
    ignore: int,
) -> list[float]:
    """Mean IoU at every threshold of the best map, below which is background: all masks anew for each."""
    found = []
    for threshold in thresholds:
        masks = [np.where(high >= threshold, value, 0) for high, value in zip(best, values, strict=True)]
        found.append(iou_by_class(truths, masks, classes, ignore))
    return found
