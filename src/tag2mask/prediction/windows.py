"""From photographs to class probabilities: sliding windows, scales and flips; the network may be torch's or another.

Shapes: B batch, K pixel classes, Y X pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tag2mask.data.resizing import bilinear, resized, scaled_size, short_side
from tag2mask.masks.tiles import flush_starts, starts
from tag2mask.prediction.settings import PredictSettings

Floats = NDArray[np.float32]
STARTS: Mapping[str, Callable[[int, int, float], list[int]]] = MappingProxyType({"even": starts, "flush": flush_starts})


@dataclass(frozen=True)
class Eye:
    """A network from ``(B, bands, Y, X)`` in [0, 1] to logits ``(B, K, Y, X)``, and what it was trained to see.

    ``side`` is a photograph's short side at scale 1, ``crop`` a window's, ``patch`` what a window is a multiple of.
    """

    network: Callable[[Floats], Floats]
    side: int
    crop: int
    patch: int


def probabilities(eye: Eye, images: Sequence[Floats], settings: PredictSettings) -> Floats:
    """Photographs of one size, ``(bands, Y, X)`` in [0, 1] each, to ``(B, K, Y, X)`` with the short side ``side``.

    The mean over scales and flips of softmax(logits).
    """
    height, width = images[0].shape[1:]
    side = short_side(settings.side or eye.side, height, width, eye.patch)
    size = scaled_size(height, width, side, 1.0)
    total_BKYX: Floats | None = None
    for scale in settings.scales:
        seen = scaled_size(height, width, side, scale)
        batch = np.stack([resized(image, seen) for image in images])
        for mirrored in (False, True) if settings.flip else (False,):
            logits_BKYX = by_windows(eye, batch[..., ::-1] if mirrored else batch, settings)
            shares_BKYX = softmax(bilinear(logits_BKYX[..., ::-1] if mirrored else logits_BKYX, size))
            total_BKYX = shares_BKYX if total_BKYX is None else np.add(total_BKYX, shares_BKYX, out=total_BKYX)
    assert total_BKYX is not None
    total_BKYX /= len(settings.scales) * (2 if settings.flip else 1)
    return total_BKYX


def by_windows(eye: Eye, batch: Floats, settings: PredictSettings) -> Floats:
    """Logits ``(B, K, Y, X)``, averaged where windows overlap."""
    B, _, Y, X = batch.shape
    high, wide = min(eye.crop, Y), min(eye.crop, X)
    begin = STARTS[settings.windows]
    corners = [(y, x) for y in begin(Y, high, settings.overlap) for x in begin(X, wide, settings.overlap)]
    places = [(b, slice(y, y + high), slice(x, x + wide)) for y, x in corners for b in range(B)]
    patches = math.ceil(high / eye.patch) * math.ceil(wide / eye.patch)
    at_once = max(settings.max_patches // patches, 1)
    sums: Floats | None = None
    covered_BYX = np.zeros((B, Y, X), np.float32)
    for first in range(0, len(places), at_once):
        chosen = places[first : first + at_once]
        logits = eye.network(np.stack([batch[b, :, rows, columns] for b, rows, columns in chosen]))
        if sums is None:
            sums = np.zeros((B, logits.shape[1], Y, X), np.float32)
        for (b, rows, columns), logits_KYX in zip(chosen, logits, strict=True):
            sums[b, :, rows, columns] += logits_KYX
            covered_BYX[b, rows, columns] += 1
    assert sums is not None
    sums /= covered_BYX[:, None]
    return sums


def softmax(logits_BKYX: Floats) -> Floats:
    """Over the classes."""
    shares_BKYX: Floats = logits_BKYX - logits_BKYX.max(1, keepdims=True)
    np.exp(shares_BKYX, out=shares_BKYX)
    shares_BKYX /= shares_BKYX.sum(1, keepdims=True)
    return shares_BKYX


def most_probable(probabilities_KYX: Floats, size: Sequence[int]) -> NDArray[np.int64]:
    """Label image ``(Y, X)`` of another size, one class at a time: all at once may not fit into memory."""
    best_YX = np.full(tuple(size), -1, np.float32)
    labels_YX = np.zeros(tuple(size), np.int64)
    for value, small_YX in enumerate(probabilities_KYX):
        share_YX = bilinear(small_YX, size)
        labels_YX[share_YX > best_YX] = value
        np.maximum(best_YX, share_YX, out=best_YX)
    return labels_YX
