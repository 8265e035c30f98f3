"""From photographs to class probabilities: sliding windows, scales and flips.

Shapes: B batch, K pixel classes, Y X pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tag2mask.data.transforms import eval_resize, fitted_size
from tag2mask.masks.localize import resize, starts
from tag2mask.segmentation.model import Segmenter
from tag2mask.segmentation.settings import PredictSettings


@torch.no_grad()
def probabilities(
    segmenter: Segmenter,
    images: Sequence[Tensor],
    side: int,
    crop: int,
    mean: Sequence[float],
    std: Sequence[float],
    settings: PredictSettings,
) -> Tensor:
    """Photographs of one size, ``(bands, Y, X)`` in [0, 1] each, to ``(B, K, Y, X)`` with the short side ``side``.

    The mean over scales and flips of softmax(logits).
    """
    device = next(segmenter.parameters()).device
    size = fitted_size(images[0].shape[1], images[0].shape[2], side)
    passes = 0
    total_BKYX = torch.zeros((), device=device)
    for scale in settings.scales:
        resized = [eval_resize(image, max(round(side * scale), 1), 1, mean, std)[0] for image in images]
        batch = torch.stack(resized).to(device)
        for mirrored in (False, True) if settings.flip else (False,):
            logits_BKYX = by_windows(segmenter, batch.flip(-1) if mirrored else batch, crop, settings)
            logits_BKYX = logits_BKYX.flip(-1) if mirrored else logits_BKYX
            total_BKYX = total_BKYX + resize(logits_BKYX, size).softmax(1)
            passes += 1
    return total_BKYX.cpu() / passes


def by_windows(segmenter: Segmenter, batch: Tensor, crop: int, settings: PredictSettings) -> Tensor:
    """Logits ``(B, K, Y, X)``, averaged where windows overlap."""
    B, _, Y, X = batch.shape
    high, wide = min(crop, Y), min(crop, X)
    corners = [(y, x) for y in starts(Y, high, settings.overlap) for x in starts(X, wide, settings.overlap)]
    places = [(b, slice(y, y + high), slice(x, x + wide)) for y, x in corners for b in range(B)]
    patches = math.ceil(high / segmenter.patch) * math.ceil(wide / segmenter.patch)
    at_once = max(settings.max_patches // patches, 1)
    sums: Tensor | None = None
    covered_BYX = torch.zeros(B, Y, X, device=batch.device)
    for first in range(0, len(places), at_once):
        chosen = places[first : first + at_once]
        logits = segmenter(torch.stack([batch[b, :, rows, columns] for b, rows, columns in chosen]))
        if sums is None:
            sums = logits.new_zeros(B, logits.shape[1], Y, X)
        for (b, rows, columns), logits_KYX in zip(chosen, logits, strict=True):
            sums[b, :, rows, columns] += logits_KYX
            covered_BYX[b, rows, columns] += 1
    assert sums is not None
    return sums / covered_BYX[:, None]


def most_probable(probabilities_KYX: Tensor, size: Sequence[int]) -> NDArray[np.int64]:
    """Label image ``(Y, X)`` of another size, one class at a time: all at once may not fit into memory."""
    best_YX = torch.full(tuple(size), -1.0)
    labels_YX = torch.zeros(tuple(size), dtype=torch.int64)
    for value, share_YX in enumerate(probabilities_KYX):
        share_YX = resize(share_YX[None, None], size)[0, 0]
        labels_YX[share_YX > best_YX] = value
        best_YX = torch.maximum(best_YX, share_YX)
    return labels_YX.numpy()
