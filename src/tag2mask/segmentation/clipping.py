"""Gradient clipping: labels with an unusually high loss do not contribute to the gradient.

Zhu et al., "WeakTr: Exploring Plain Vision Transformer for Weakly-supervised Semantic Segmentation", 2023.
Shapes: B batch, K pixel classes, Y X pixels, u v tiles, S side of a tile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Tiles = Literal["image", "batch"]


@dataclass(frozen=True)
class Clipped:
    """A loss, and which labelled pixels contribute to its gradient."""

    loss: Tensor
    kept_BYX: Tensor


def thresholds(
    energy_BYX: Tensor,
    labelled_BYX: Tensor,
    tau: float,
    tile: int,
    tiles: Tiles = "image",
    whole: Tensor | None = None,
    sure_BYX: Tensor | None = None,
) -> Tensor:
    """Thresholds max(lambda_i, lambda_g) on the cross-entropy G of each pixel, ``(B, Y, X)``; none if lambda_g > tau.

    lambda_i is the mean of G over a pixel's S x S tile. lambda_g is the mean over all pixels of this batch, or of
    ``whole``, the summed ``mean_parts`` of a batch split over several processes. ``sure`` pixels have no threshold.
    """
    with torch.no_grad():
        total, pixels = mean_parts(energy_BYX, labelled_BYX, tiles) if whole is None else whole
        level = total / pixels.clamp_min(1)
        threshold_BYX = torch.maximum(tile_means(energy_BYX, labelled_BYX, tile, tiles), level)
        # An infinite threshold clips nothing; an if statement here would make the host wait for the device.
        threshold_BYX = threshold_BYX.masked_fill(level > tau, math.inf)
        return threshold_BYX if sure_BYX is None else threshold_BYX.masked_fill(sure_BYX, math.inf)


def clipped_loss(energy_BYX: Tensor, labelled_BYX: Tensor, threshold_BYX: Tensor, pixels: Tensor) -> Clipped:
    """The sum over labelled pixels of min(G, t), divided by the number of ``pixels`` that count.

    A pixel above t adds a constant, so its gradient is 0; that of the others is 1 / ``pixels``.
    """
    clipped_BYX = labelled_BYX & ~(energy_BYX.detach() <= threshold_BYX)
    limited_BYX = torch.where(clipped_BYX, threshold_BYX, energy_BYX)
    return Clipped((limited_BYX * labelled_BYX).sum() / pixels.clamp_min(1), labelled_BYX & ~clipped_BYX)


def mean_parts(energy_BYX: Tensor, labelled_BYX: Tensor, tiles: Tiles) -> Tensor:
    """The sum of G over labelled pixels, and the number of counted pixels: ``(2,)``."""
    with torch.no_grad():
        pixels = counted_pixels(labelled_BYX, tiles).sum().to(energy_BYX.dtype)
        return torch.stack([(energy_BYX * labelled_BYX).sum(), pixels])


def tile_means(energy_BYX: Tensor, labelled_BYX: Tensor, tile: int, tiles: Tiles) -> Tensor:
    """Mean over the counted pixels of each pixel's tile, ``(B, Y, X)``; tiles at the border may be smaller."""
    B, Y, X = energy_BYX.shape
    counted_BYX = counted_pixels(labelled_BYX, tiles).float()
    sums_Buv, counts_Buv = (in_tiles(part, tile) for part in (energy_BYX * labelled_BYX, counted_BYX))
    if tiles == "batch":
        sums_Buv, counts_Buv = (part.sum(0, keepdim=True).expand(B, -1, -1) for part in (sums_Buv, counts_Buv))
    means_Buv = sums_Buv / counts_Buv.clamp_min(1)
    return means_Buv.repeat_interleave(tile, 1).repeat_interleave(tile, 2)[:, :Y, :X]


def counted_pixels(labelled_BYX: Tensor, tiles: Tiles) -> Tensor:
    """Mask of the pixels over which means are taken: those with a label, or all with tiles of the ``batch``."""
    return torch.ones_like(labelled_BYX) if tiles == "batch" else labelled_BYX


def in_tiles(values_BYX: Tensor, tile: int) -> Tensor:
    """Sum over each tile, ``(B, u, v)``."""
    padded = F.pad(values_BYX, (0, -values_BYX.shape[2] % tile, 0, -values_BYX.shape[1] % tile))
    B, Y, X = padded.shape
    return padded.view(B, Y // tile, tile, X // tile, tile).sum((2, 4))
