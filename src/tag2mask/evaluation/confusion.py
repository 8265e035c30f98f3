"""Confusion counts of pixels.

Shapes: K pixel classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def confusion(truth: NDArray[Any], prediction: NDArray[Any], classes: int, ignore: int) -> Counts:
    """Count pixels by true and predicted class, int64 ``(K, K + 1)``; the last column is any other predicted value.

    Pixels whose truth is ``ignore`` are not counted.

    Raises:
        ValueError: shapes differ, or a true value is neither a class nor ``ignore``.

    Example:
        >>> confusion(np.array([0, 0, 1, 255]), np.array([0, 1, 1, 0]), classes=2, ignore=255)
        array([[1, 1, 0],
               [0, 1, 0]])
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(f"truth is {truth.shape}, prediction is {prediction.shape}")
    counted = truth != ignore
    true = truth[counted].astype(np.int64)
    foreign = true[(true < 0) | (true >= classes)]
    if foreign.size:
        raise ValueError(f"truth holds the value {foreign[0]}, which is neither one of {classes} classes nor {ignore}")
    predicted = prediction[counted].astype(np.int64)
    predicted = np.where((predicted >= 0) & (predicted < classes), predicted, classes)
    flat = np.bincount(true * (classes + 1) + predicted, minlength=classes * (classes + 1))
    return flat.reshape(classes, classes + 1).astype(np.int64)
