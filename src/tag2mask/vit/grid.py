"""Conversion between tokens, the patch grid and pixels.

Shapes: B batch, C classes, M patches, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def on_grid(maps_BCM: Tensor, grid: tuple[int, int]) -> Tensor:
    """Reshape ``(B, C, M)`` to ``(B, C, h, w)``."""
    return maps_BCM.reshape(*maps_BCM.shape[:2], *grid)


def to_pixels(maps_BChw: Tensor, patch: int, size: tuple[int, int]) -> Tensor:
    """Resize maps from the patch grid to the pixels of the padded image, bilinearly, and crop them to ``size``."""
    grid = maps_BChw.shape[-2:]
    return resize(maps_BChw.float(), (grid[0] * patch, grid[1] * patch))[..., : size[0], : size[1]]


def resize(maps_BCYX: Tensor, size: Sequence[int]) -> Tensor:
    """Resize bilinearly, without aligned corners."""
    if maps_BCYX.shape[-2:] == tuple(size):
        return maps_BCYX
    return F.interpolate(maps_BCYX, size=tuple(size), mode="bilinear", align_corners=False)


def to_patches(maps_KYX: Tensor, size: tuple[int, int], patch: int) -> Tensor:
    """Average maps over the patches of the image at ``size``, padded like the image: ``(K, Y, X)`` to ``(K, h, w)``."""
    fitted = resize(maps_KYX[None], size)
    padded = F.pad(fitted, (0, -size[1] % patch, 0, -size[0] % patch), mode="replicate")
    return F.avg_pool2d(padded, patch)[0]
