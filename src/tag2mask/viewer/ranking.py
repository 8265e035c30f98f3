"""Which masks to look at first, judged without truth. Pure functions.

A mask's quality q is the product of those signs in [0, 1] that are known:

- ``sure``: a soft minimum over pixels of the probability p of the painted class, sum_i w_i p_i with the weights
  w = softmax((1 - p) / T), as label quality scores for segmentation (Lad and Mueller, 2023);
- ``other``: agreement with another mask of the same image, such as a segmenter's;
- ``views``: agreement with the masks of the mirrored and the enlarged image;
- ``painted``: the fraction of the image's tags that have a pixel.

The rank is 1 - q: the highest comes first. Agreement is the mean IoU over the classes in either mask.
Shapes: S competing labels, Y X pixels.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from tag2mask.inference.arrays import Floats
from tag2mask.masks.paint import Labels

TEMPERATURE = 0.3  # at 0.1, the published value, single pixels decide
EPS = 1e-6


@dataclass(frozen=True)
class Signs:
    """What speaks for a mask, each from 0 to 1; None if unknown. ``details`` names a class for each sign."""

    sure: float | None = None
    other: float | None = None
    views: float | None = None
    painted: float | None = None
    details: Mapping[str, str] | None = None

    def known(self) -> dict[str, float]:
        """Return the known signs by name."""
        pairs = ((one.name, getattr(self, one.name)) for one in fields(self) if one.name != "details")
        return {name: value for name, value in pairs if value is not None}


@dataclass(frozen=True)
class Ranked:
    """A mask's rank, higher for masks to look at first, and the reason in words."""

    rank: float
    reason: str


def soft_minimum(values: NDArray[np.floating], temperature: float = TEMPERATURE) -> float:
    """Mean of values in [0, 1], weighted by softmax((1 - value) / temperature).

    Example:
        >>> round(soft_minimum(np.array([0.9, 0.9, 0.1])), 3)
        0.198
    """
    weights = np.exp((values.min() - values) / temperature)
    return float((weights * values).sum() / weights.sum())


def agreement(labels: Labels, other: Labels, ignore: int) -> tuple[float, int | None]:
    """Mean IoU of two masks over the classes in either, and the class that they agree on least; 1 and None if none.

    Pixels that either ignores do not count.

    Example:
        >>> agreement(np.array([[0, 0, 1, 1]]), np.array([[0, 0, 0, 1]]), 255)
        (0.5833333333333333, 1)
    """
    counted = (labels != ignore) & (other != ignore)
    one, two = labels[counted].astype(np.int64), other[counted].astype(np.int64)
    if not one.size:
        return 1.0, None
    count = int(max(one.max(), two.max())) + 1
    both = np.bincount(one[one == two], minlength=count)
    either = np.bincount(one, minlength=count) + np.bincount(two, minlength=count) - both
    found = np.flatnonzero(either)
    ious = both[found] / either[found]
    return float(ious.mean()), int(found[ious.argmin()])


def painted_probability(labels: Labels, shares_SYX: Floats, values: Sequence[int]) -> Floats:
    """Probability of the painted class at each pixel that has one, ``(pixels,)``."""
    found = [shares_YX[labels == value] for value, shares_YX in zip(values, shares_SYX, strict=True)]
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def order(signs: Sequence[Signs]) -> list[Ranked]:
    """Rank masks by their signs.

    The reason is the sign that is lowest compared with its median over all masks.

    Example:
        >>> [one.reason for one in order([Signs(sure=0.5, views=0.9), Signs(sure=0.4, views=0.2)])]
        ['the model is unsure', 'the mirrored or enlarged image gives another mask: they agree by 20 %']
    """
    known = [one.known() for one in signs]
    medians = {name: statistics.median(values) for name, values in gathered(known).items()}
    return [Ranked(1 - quality(one), reason_of(one, all_of, medians)) for one, all_of in zip(known, signs, strict=True)]


def gathered(known: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return the values of each sign over all masks."""
    found: dict[str, list[float]] = {}
    for one in known:
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    return found


def quality(known: Mapping[str, float]) -> float:
    """Return the product of the known signs."""
    return float(np.prod(list(known.values()))) if known else 1.0


def reason_of(known: Mapping[str, float], signs: Signs, medians: Mapping[str, float]) -> str:
    """Say why a mask may be wrong."""
    if not known:
        return ""
    if known.get("painted", 1.0) < 1:
        return f"no pixel of {(signs.details or {}).get('painted', 'a tag')}"
    worst = min((name for name in known if name != "painted"), key=lambda n: known[n] / (medians[n] + EPS), default="")
    detail = (signs.details or {}).get(worst, "")
    percent = round(100 * known.get(worst, 0.0))
    return {
        "sure": f"the model is unsure{f', most about {detail}' if detail else ''}",
        "other": f"the other mask differs{f', most in {detail}' if detail else ''}: they agree by {percent} %",
        "views": f"the mirrored or enlarged image gives another mask: they agree by {percent} %",
        "": "",
    }[worst]
