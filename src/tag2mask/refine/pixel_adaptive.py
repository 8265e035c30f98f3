"""Pixel-adaptive mask refinement (PAMR): averages class maps over neighbouring pixels of similar colour.

Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels", CVPR 2020, section 4.3.
Shapes: K classes, N neighbours, Y X pixels; any batch dimensions may precede them.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from tag2mask.refine.inputs import require_fitting

DILATIONS = (1, 2, 4, 8, 12, 24)
ITERATIONS = 10
SHARPNESS = 10.0  # the kernel in units of the local standard deviation
EPS = 1e-8


def pamr(image: Tensor, maps_KYX: Tensor) -> Tensor:
    """Average the maps ten times over the eight neighbours at each of six distances.

    The weights are a softmax of ``k(i, j) = -|x_i - x_j| / sigma_i``, averaged over bands; ``sigma_i`` is proportional
    to the standard deviation among i and its neighbours. ``image (bands, Y, X)`` in [0, 1], ``maps (K, Y, X)``.

    Raises:
        ValueError: image and maps have other shapes, or values that are not finite.

    Example:
        >>> pamr(torch.rand(3, 32, 48), torch.rand(2, 32, 48)).shape
        torch.Size([2, 32, 48])
    """
    require_fitting(image, maps_KYX)
    weights_NYX = neighbour_weights(image)
    for _ in range(ITERATIONS):
        total = torch.zeros_like(maps_KYX)
        for k, shifted in enumerate(neighbours(maps_KYX)):
            total += weights_NYX[..., k, None, :, :] * shifted
        maps_KYX = total
    return maps_KYX


def neighbour_weights(image: Tensor) -> Tensor:
    """Weights of the neighbours of each pixel, ``(N, Y, X)``, from ``(bands, Y, X)``."""
    count = 8 * len(DILATIONS) + 1
    centred = image - image.mean((-2, -1), keepdim=True)  # small numbers lose less precision when squared and summed
    total, squares = centred.clone(), centred.square()
    for shifted in neighbours(centred):
        total += shifted
        squares += shifted.square()
    variance = (squares - total.square() / count) / (count - 1)
    width = variance.clamp_min(0).sqrt() / SHARPNESS + EPS
    kernel = [-((shifted - centred).abs() / width).mean(-3) for shifted in neighbours(centred)]
    return torch.stack(kernel, -3).softmax(-3)


def neighbours(values: Tensor) -> Iterator[Tensor]:
    """Yield ``values (..., Y, X)`` shifted in eight directions by each distance; the border is repeated."""
    height, width = values.shape[-2:]
    for distance in DILATIONS:
        flat = values.reshape(1, -1, height, width)
        padded = F.pad(flat, (distance,) * 4, mode="replicate").reshape(
            *values.shape[:-2], height + 2 * distance, width + 2 * distance
        )
        for down in (0, distance, 2 * distance):
            for right in (0, distance, 2 * distance):
                if (down, right) != (distance, distance):
                    yield padded[..., down : down + height, right : right + width]
