"""Losses of a segmenter: collision cross-entropy on soft labels, and the Potts model between neighbours.

Here p = softmax(logits) at a pixel. Zhang and Boykov, "Soft Self-labeling and Potts Relaxations for Weakly-Supervised
Segmentation", CVPR 2025 (collision cross-entropy; bilinear relaxation). Tang et al., "On Regularized Losses for
Weakly-supervised CNN Segmentation", ECCV 2018 (a relaxed Potts model as a loss on predictions).
Shapes: B batch, K pixel classes, P planes of soft labels, C bands, N pairs of neighbours, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def collision(logits_BKYX: Tensor, shares_BPYX: Tensor, values_BP: Tensor, labelled_BYX: Tensor) -> Tensor:
    """-ln sum_k y_k p_k: ``(B, Y, X)``, 0 without a label.

    sum_k y_k p_k is the probability that a label drawn from y equals one drawn from p. The labels y are the ``shares``
    of the classes ``values``, at any scale, at least one of them above 0 where there is a label; y = 0 for all other
    classes. For certain labels the loss is the cross-entropy. It is computed as the logsumexp over planes of
    ln p + ln y, so y is never expanded to K classes.
    """
    places_BPYX = values_BP[:, :, None, None].expand(-1, -1, *logits_BKYX.shape[2:])
    likely_BPYX = logits_BKYX.log_softmax(1).gather(1, places_BPYX)
    # Without a label, use any: if y were 0 for all classes, the gradient would be undefined.
    label_BPYX = shares_BPYX.to(logits_BKYX.dtype).masked_fill(~labelled_BYX[:, None], 1.0)
    label_BPYX = label_BPYX / label_BPYX.sum(1, keepdim=True)
    return -(likely_BPYX + label_BPYX.log()).logsumexp(1).masked_fill(~labelled_BYX, 0.0)


def potts(logits_BKYX: Tensor, images_BCYX: Tensor, size_B2: Tensor) -> Tensor:
    """The mean over all pairs i, j of 4-neighbours of w_ij (1 - p_i . p_j), a scalar; 0 if there is no pair.

    w_ij = exp(-|c_i - c_j|^2 / (2 sigma^2)) with the colours c of ``images`` and sigma^2 the mean of |c_i - c_j|^2 over
    the pairs of an image. 1 - p_i . p_j is the probability that two labels drawn from p_i and p_j differ; it is 0 only
    if both are certain of the same class. ``size`` is the height and width of each image within the padded Y X.
    """
    p_BKYX = logits_BKYX.softmax(1)
    inside_BYX = within(size_B2, logits_BKYX.shape[2], logits_BKYX.shape[3])
    contrast_BN = compare_pairs(lambda i, j: (i - j).square().sum(1), images_BCYX)
    differing_BN = compare_pairs(lambda i, j: 1 - (i * j).sum(1), p_BKYX)
    pair_BN = compare_pairs(lambda i, j: (i & j)[:, 0], inside_BYX[:, None])
    variance_B1 = (contrast_BN * pair_BN).sum(1, keepdim=True) / pair_BN.sum(1, keepdim=True).clamp_min(1)
    weight_BN = (-contrast_BN / (2 * variance_B1.clamp_min(torch.finfo(contrast_BN.dtype).tiny))).exp()
    return (weight_BN * differing_BN * pair_BN).sum() / pair_count(size_B2).clamp_min(1)


def pair_count(size_B2: Tensor) -> Tensor:
    """Total number of pairs of 4-neighbours in images of these heights and widths."""
    height_B, width_B = size_B2.unbind(1)
    return (height_B * (width_B - 1) + (height_B - 1) * width_B).sum()


def within(size_B2: Tensor, height: int, width: int) -> Tensor:
    """Mask of the pixels that belong to the image and not to its padding, ``(B, Y, X)``."""
    row_Y, column_X = torch.arange(height, device=size_B2.device), torch.arange(width, device=size_B2.device)
    return (row_Y[:, None] < size_B2[:, 0, None, None]) & (column_X < size_B2[:, 1, None, None])


def compare_pairs(compare: Callable[[Tensor, Tensor], Tensor], values_BKYX: Tensor) -> Tensor:
    """Apply ``compare`` to the values of all neighbouring pairs, first vertical, then horizontal: ``(B, N)``."""
    found = []
    for axis in (2, 3):
        pairs = values_BKYX.shape[axis] - 1
        found.append(compare(values_BKYX.narrow(axis, 0, pairs), values_BKYX.narrow(axis, 1, pairs)).flatten(1))
    return torch.cat(found, 1)
