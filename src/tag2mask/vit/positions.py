"""Resampling of position embeddings to another patch grid.

``resampled`` is ours. The others reproduce released code, which resamples once to the training grid before training
and then to any other grid in each pass.
Shapes: D width, h w patch grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import torch
import torch.nn.functional as F
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

Grid = tuple[int, int]
CUBIC, BEYOND = -0.75, 2  # torch's a, and how many positions the kernel may reach beyond an edge
ENLARGED = 0.1  # MCTformer and WeakTr add it to both sides so that rounding loses no patch; it shifts all positions


@dataclass(frozen=True)
class Resampling:
    """How positions ``(1, h, w, D)`` are resampled: ``start`` once before training, ``later`` in every pass."""

    start: Callable[[Tensor, Grid], Tensor]
    later: Callable[[Tensor, Grid], Tensor]


def antialiased(position_1hwD: Tensor, grid: Grid) -> Tensor:
    """Bicubic with antialiasing (a = -0.5), as in timm."""
    height, width = position_1hwD.shape[1:3]
    flat: Tensor = resample_abs_pos_embed(position_1hwD.flatten(1, 2), list(grid), [height, width], num_prefix_tokens=0)
    return flat.view(1, *grid, -1)


def bicubic(position_1hwD: Tensor, grid: Grid) -> Tensor:
    """Bicubic without antialiasing (a = -0.75)."""
    return F.interpolate(position_1hwD.movedim(3, 1), size=grid, mode="bicubic", align_corners=False).movedim(1, 3)


def enlarged(position_1hwD: Tensor, grid: Grid) -> Tensor:
    """Bicubic (a = -0.75) to a grid that is a tenth of a patch larger, cropped to whole patches.

    For its own grid, the result is unchanged. The kernel is written out because an exported graph would otherwise keep
    the scale factor of the grid it was traced with.
    """
    height, width = position_1hwD.shape[1:3]
    more = cast(float, ENLARGED * torch.sym_min(abs(grid[0] - height) + abs(grid[1] - width), 1))
    down, across = bicubic_rows(height, grid[0], more), bicubic_rows(width, grid[1], more)
    flat = down.to(position_1hwD) @ position_1hwD.flatten(2)
    rows_1yDw = flat.view(1, -1, *position_1hwD.shape[2:]).transpose(2, 3)
    return (rows_1yDw @ across.to(position_1hwD).T).transpose(2, 3)


def bicubic_rows(old: int, new: int, more: float) -> Tensor:
    """Weight of each of ``old`` positions for each of ``new``, ``(new, old)``; the edges are repeated."""
    place_n = (torch.arange(new) + 0.5) * (old / (new + more)) - 0.5
    x = (place_n[:, None] - torch.arange(-BEYOND, old + BEYOND)).abs()
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x**2 + 1
    far = CUBIC * (((x - 5) * x + 8) * x - 4)
    weight = torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros(())))
    first, last = weight[:, :BEYOND].sum(1, keepdim=True), weight[:, -BEYOND:].sum(1, keepdim=True)
    rows: Tensor = weight[:, BEYOND:-BEYOND] + F.pad(first, (0, old - 1)) + F.pad(last, (old - 1, 0))
    return rows


def repeated(position_1hwD: Tensor, grid: Grid) -> Tensor:
    """Nearest neighbour: from 14 x 14 to 28 x 28, each position is used four times."""
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


def split_positions(plain: VisionTransformer | Eva) -> tuple[Tensor, Tensor, nn.Parameter | None]:
    """The backbone's class token ``(1, D)`` and registers ``(R, D)``, and its patch positions ``(1, h, w, D)``.

    The positions of the tokens are added to them.
    """
    width = plain.embed_dim
    class_1D = torch.zeros(1, width) if plain.cls_token is None else plain.cls_token.detach()[0]
    own_RD = torch.zeros(0, width) if plain.reg_token is None else plain.reg_token.detach()[0]
    if plain.pos_embed is None:
        return class_1D, own_RD, None
    position_KD = plain.pos_embed.detach()[0]
    if not plain.no_embed_class and plain.num_prefix_tokens:
        prefix_RD, position_KD = position_KD[: plain.num_prefix_tokens], position_KD[plain.num_prefix_tokens :]
        with_class = 0 if plain.cls_token is None else 1
        class_1D = class_1D + prefix_RD[:with_class].sum(0, keepdim=True)
        own_RD = own_RD + prefix_RD[with_class:]
    height, grid_width = plain.patch_embed.grid_size
    return class_1D, own_RD, nn.Parameter(position_KD.view(1, height, grid_width, width).clone())
