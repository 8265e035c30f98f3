"""Position embeddings for another patch grid than their own.

``resampled`` is ours; the others are what released code does, at the start for the training grid and later for any.
Shapes: D width, h w patch grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch.nn.functional as F
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor

Grid = tuple[int, int]
ENLARGED = 0.1  # what MCTformer and WeakTr add to both sides so that rounding loses no patch; it shifts all positions


@dataclass(frozen=True)
class Resampling:
    """From positions ``(1, h, w, D)`` to those of another grid: once before training, and in every pass."""

    start: Callable[[Tensor, Grid], Tensor]
    later: Callable[[Tensor, Grid], Tensor]


def antialiased(position_1hwD: Tensor, grid: Grid) -> Tensor:
    """Bicubic with antialiasing (a = -0.5), as timm has it."""
    height, width = position_1hwD.shape[1:3]
    flat: Tensor = resample_abs_pos_embed(position_1hwD.flatten(1, 2), list(grid), [height, width], num_prefix_tokens=0)
    return flat.view(1, *grid, -1)


def bicubic(position_1hwD: Tensor, grid: Grid) -> Tensor:
    """Bicubic without antialiasing (a = -0.75)."""
    return F.interpolate(position_1hwD.movedim(3, 1), size=grid, mode="bicubic", align_corners=False).movedim(1, 3)


def enlarged(position_1hwD: Tensor, grid: Grid) -> Tensor:
    """Bicubic (a = -0.75) to a grid that is a tenth of a patch larger, of which the whole patches are kept."""
    height, width = position_1hwD.shape[1:3]
    factors = ((grid[0] + ENLARGED) / height, (grid[1] + ENLARGED) / width)
    resampled = F.interpolate(
        position_1hwD.movedim(3, 1),
        scale_factor=factors,
        mode="bicubic",
        align_corners=False,
        recompute_scale_factor=False,
    )
    return resampled.movedim(1, 3)


def repeated(position_1hwD: Tensor, grid: Grid) -> Tensor:
    """The nearest position: 14 x 14 to 28 x 28 has each four times."""
    return F.interpolate(position_1hwD.movedim(3, 1), size=grid, mode="nearest").movedim(1, 3)


def bilinear(position_1hwD: Tensor, grid: Grid) -> Tensor:
    """Bilinear without antialiasing."""
    return F.interpolate(position_1hwD.movedim(3, 1), size=grid, mode="bilinear", align_corners=False).movedim(1, 3)


RESAMPLINGS: Mapping[str, Resampling] = MappingProxyType(
    {
        "resampled": Resampling(antialiased, antialiased),
        "released": Resampling(bicubic, enlarged),  # MCTformer V1 and V2, WeakTr
        "released-plus": Resampling(repeated, bicubic),  # MCTformer+
        "bilinear": Resampling(bilinear, bilinear),  # WeakTr's segmenter
    }
)
