"""From photographs to class maps: scales and flips, summed before any normalisation.

Shapes: B batch, C classes, h w patch grid, Y X pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tag2mask.data.resizing import scaled_size, short_side
from tag2mask.data.transforms import normalised, whole_patches
from tag2mask.masks.refine import refine_patches
from tag2mask.masks.settings import SHARE_EPS, MaskSettings
from tag2mask.masks.tiles import starts
from tag2mask.methods import Ask, Method
from tag2mask.vit.grid import resize, to_pixels


@dataclass(frozen=True)
class Localized:
    """An image's logits ``(C,)``, the mean over passes, and class maps ``(C, Y, X)`` at the first scale's size."""

    scores_C: Tensor
    maps_CYX: Tensor


@torch.no_grad()
def localize(
    method: Method,
    images: Sequence[Tensor],
    side: int | Literal["own"],
    mean: Sequence[float],
    std: Sequence[float],
    settings: MaskSettings,
) -> list[Localized]:
    """Class maps of photographs of one size, ``(bands, Y, X)`` in [0, 1] each; the aspect ratio is kept."""
    device = next(method.parameters()).device
    scores: list[Tensor] = []
    total_BCYX: Tensor | None = None
    height, width = images[0].shape[1:]
    short = short_side(side, height, width, method.patch if settings.edges == "pad" else 1)
    whole = scaled_size(height, width, short, settings.scales[0])
    for scale in settings.scales:
        size = scaled_size(height, width, short, scale)
        batch = torch.stack([normalised(image, size, mean, std) for image in images]).to(device)
        for mirrored in (False, True) if settings.flip else (False,):
            # What is filled up or left out stays right and below: the image is mirrored before.
            seen = whole_patches(batch.flip(-1) if mirrored else batch, method.patch, settings.edges)
            scores_BC, maps_BChw = by_tiles(method, seen, settings)
            cut = maps_BChw.float() if settings.edges == "drop" else to_pixels(maps_BChw, method.patch, size)
            maps_BCYX = resize(cut.flip(-1) if mirrored else cut, whole)
            scores.append(scores_BC)
            total_BCYX = maps_BCYX if total_BCYX is None else total_BCYX + maps_BCYX
    assert total_BCYX is not None
    scores_BC = torch.stack(scores).mean(0).float().cpu()
    return [Localized(scores_BC[i], total_BCYX[i].float().cpu()) for i in range(len(images))]


def by_tiles(method: Method, batch: Tensor, settings: MaskSettings) -> tuple[Tensor, Tensor]:
    """Logits ``(B, C)`` and class maps ``(B, C, h, w)``; more patches than ``max_patches`` are looked at in tiles.

    Where tiles overlap, their maps are blended by the distance to the tile's edge; a class is as present as in the tile
    where it is most.
    """
    h, w = (side // method.patch for side in batch.shape[-2:])
    if h * w <= settings.max_patches:
        return one_pass(method, batch, settings)
    tile = max(math.isqrt(settings.max_patches), 1)
    high, wide = min(tile, h), min(tile, w)
    weight_hw = ramp(high, batch.device)[:, None] * ramp(wide, batch.device)
    scores: list[Tensor] = []
    total_BChw, covered_hw = None, torch.zeros(h, w, device=batch.device)
    for top in starts(h, high):
        for left in starts(w, wide):
            y, x = top * method.patch, left * method.patch
            part = batch[..., y : y + high * method.patch, x : x + wide * method.patch]
            scores_BC, maps_BChw = one_pass(method, part, settings)
            scores.append(scores_BC)
            if total_BChw is None:
                total_BChw = maps_BChw.new_zeros(*maps_BChw.shape[:2], h, w)
            total_BChw[..., top : top + high, left : left + wide] += maps_BChw * weight_hw
            covered_hw[top : top + high, left : left + wide] += weight_hw
    assert total_BChw is not None
    return torch.stack(scores).amax(0), total_BChw / covered_hw


def one_pass(method: Method, batch: Tensor, settings: MaskSettings) -> tuple[Tensor, Tensor]:
    """Logits and class maps, relative and refined on patches as the settings say."""
    evidence = method(batch, ask=Ask(maps=True, affinity="affinity" in settings.refine))
    assert evidence.maps_BChw is not None
    maps_BChw = share(evidence.maps_BChw) if settings.relative else evidence.maps_BChw
    return evidence.scores_BC, refine_patches(evidence, maps_BChw, settings.refine)


def ramp(length: int, device: torch.device) -> Tensor:
    """Weights that fall towards both ends, ``(length,)``."""
    place = torch.arange(length, device=device)
    return torch.minimum(place + 1, length - place).float()


def share(maps_BChw: Tensor) -> Tensor:
    """Each class's share of all classes' maps at a patch; 0 where all are 0."""
    return maps_BChw / (maps_BChw.sum(1, keepdim=True) + SHARE_EPS)
