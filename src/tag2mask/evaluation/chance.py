"""The score of painting at random, the baseline shown with every score.

Shapes: K pixel classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tag2mask.evaluation.confusion import Counts


def random_counts(counts: Counts, values: Sequence[int]) -> NDArray[np.float64]:
    """Return expected counts ``(K, K + 1)`` if each pixel drew uniformly from ``values``; ``counts`` have the truth."""
    expected = np.zeros(counts.shape)
    if values:
        expected[:, list(values)] = counts.sum(1, keepdims=True) / len(values)
    else:
        expected[:, -1] = counts.sum(1)
    return expected
