"""Image-level scores: how well logits predict the tags of images.

They are here because the training loop chooses the best model by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score


@dataclass(frozen=True)
class TagScores:
    """Average precision per class (None for a class that no image has), its mean, and macro F1 at logit 0."""

    ap_per_class: tuple[float | None, ...]
    mean_ap: float
    f1: float


def tag_scores(scores: NDArray[Any], tags: NDArray[Any]) -> TagScores:
    """Score logits ``(images, C)`` against tags ``(images, C)`` of 0 and 1; classes that no image has are left out."""
    present = tags.sum(0) > 0
    per_class = tuple(
        float(average_precision_score(tags[:, c], scores[:, c])) if present[c] else None for c in range(tags.shape[1])
    )
    known = [value for value in per_class if value is not None]
    if not known:
        return TagScores(per_class, 0.0, 0.0)
    f1 = f1_score(tags[:, present], scores[:, present] > 0, average="macro", zero_division=0)
    return TagScores(per_class, float(np.mean(known)), float(f1))
