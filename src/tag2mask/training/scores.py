"""Image-level scores: how well logits predict the tags of images.

They are here because the training loop chooses the best model by them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

EVEN = 0.5  # the probability at logit 0
LOGITS = np.arange(-8.0, 8.05, 0.1).round(1)  # candidates for the level above which a tag is predicted


@dataclass(frozen=True)
class TagScores:
    """Average precision per class (None for a class that no image has), its mean, and macro F1.

    F1 is that of the tags with a probability above ``threshold``, which was chosen by it on the same images.
    """

    ap_per_class: tuple[float | None, ...]
    mean_ap: float
    f1: float
    threshold: float


def tag_scores(scores: NDArray[Any], tags: NDArray[Any]) -> TagScores:
    """Score logits ``(images, C)`` against tags ``(images, C)`` of 0 and 1; classes that no image has are left out."""
    present = tags.sum(0) > 0
    per_class = tuple(
        float(average_precision_score(tags[:, c], scores[:, c])) if present[c] else None for c in range(tags.shape[1])
    )
    known = [value for value in per_class if value is not None]
    if not known:
        return TagScores(per_class, 0.0, 0.0, EVEN)
    level = choose_level(scores[:, present], tags[:, present] > 0)
    f1 = macro_f1(scores[:, present], tags[:, present] > 0, level)
    return TagScores(per_class, float(np.mean(known)), f1, 1 / (1 + math.exp(-level)))


def choose_level(scores: NDArray[Any], tags: NDArray[np.bool_]) -> float:
    """The logit above which tags are predicted: the one nearest to 0 whose macro F1 is as good as the best.

    As good means within its standard error, sqrt(F1 (1 - F1) / tags), so a few images do not move it. Where classes are
    rare, it falls far below 0: a probability rarely reaches one half.
    """
    f1 = np.array([macro_f1(scores, tags, level) for level in LOGITS])
    best = f1.max()
    error = math.sqrt(best * (1 - best) / tags.sum())
    good = LOGITS[f1 >= best - error]
    return float(good[np.abs(good).argmin()])


def macro_f1(scores: NDArray[Any], tags: NDArray[np.bool_], level: float) -> float:
    """F1 of the tags with a logit above ``level``, averaged over classes; 0 for a class that is never predicted."""
    found = scores > level
    return float(np.mean(2 * (found & tags).sum(0) / (found.sum(0) + tags.sum(0))))
