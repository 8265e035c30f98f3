"""PAMR as released: fixed 3 x 3 kernels pick the neighbours by convolutions with each dilation, all kept at once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

DILATIONS, ITERATIONS = (1, 2, 4, 8, 12, 24), 10


def pick(values_CYX: Tensor, dilation: int, with_own: bool) -> Tensor:
    """The eight neighbours, and the pixel itself if asked for, ``(C, 8 or 9, Y, X)``."""
    kernel = torch.eye(9).view(9, 1, 3, 3)
    if not with_own:
        kernel = kernel[[0, 1, 2, 3, 5, 6, 7, 8]]
    padded = F.pad(values_CYX[:, None], (dilation,) * 4, mode="replicate")
    return F.conv2d(padded, kernel, dilation=dilation)


def pamr_by_convolutions(image: Tensor, maps_KYX: Tensor) -> Tensor:
    """Ten rounds over six dilations; ``image (bands, Y, X)`` in [0, 1], maps ``(K, Y, X)``."""
    around = torch.cat([pick(image, d, with_own=True) for d in DILATIONS], 1)
    width = around.std(1, keepdim=True)
    neighbours = torch.cat([pick(image, d, with_own=False) for d in DILATIONS], 1)
    weights = (-(neighbours - image[:, None]).abs() / (1e-8 + 0.1 * width)).mean(0).softmax(0)
    for _ in range(ITERATIONS):
        maps_KYX = (torch.cat([pick(maps_KYX, d, with_own=False) for d in DILATIONS], 1) * weights).sum(1)
    return maps_KYX
