"""From photographs to class maps: scales and flips, summed before any normalisation.

Shapes: B batch, C classes, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tag2mask.data.transforms import eval_resize
from tag2mask.masks.refine import refine_patches
from tag2mask.masks.settings import MaskSettings
from tag2mask.methods import Ask, Method

EPS = 1e-9


@dataclass(frozen=True)
class Localized:
    """A photograph's logits ``(C,)``, the mean over passes, and class maps ``(C, Y, X)`` at the short side ``side``."""

    scores_C: Tensor
    maps_CYX: Tensor


@torch.no_grad()
def localize(
    method: Method,
    images: Sequence[Tensor],
    side: int,
    mean: Sequence[float],
    std: Sequence[float],
    settings: MaskSettings,
) -> list[Localized]:
    """Class maps of photographs of one size, ``(bands, Y, X)`` in [0, 1] each; the aspect ratio is kept."""
    ask = Ask(maps=True, affinity="affinity" in settings.refine)
    device = next(method.parameters()).device
    scores: list[Tensor] = []
    total_BCYX: Tensor | None = None
    for scale in settings.scales:
        resized = [eval_resize(image, round(side * scale), method.patch, mean, std) for image in images]
        batch = torch.stack([pixels for pixels, _ in resized]).to(device)
        size = resized[0][1]
        for mirrored in (False, True) if settings.flip else (False,):
            # The padding stays right and below: the photograph is mirrored, not the padded batch.
            evidence = method(mirror(batch, size[1]) if mirrored else batch, ask=ask)
            assert evidence.maps_BChw is not None
            maps_BChw = share(evidence.maps_BChw) if settings.relative else evidence.maps_BChw
            maps_BCYX = to_pixels(refine_patches(evidence, maps_BChw, settings.refine), method.patch, size)
            maps_BCYX = maps_BCYX.flip(-1) if mirrored else maps_BCYX
            scores.append(evidence.scores_BC)
            total_BCYX = maps_BCYX if total_BCYX is None else total_BCYX + resize(maps_BCYX, total_BCYX.shape[-2:])
    assert total_BCYX is not None
    scores_BC = torch.stack(scores).mean(0).float().cpu()
    return [Localized(scores_BC[i], total_BCYX[i].float().cpu()) for i in range(len(images))]


def share(maps_BChw: Tensor) -> Tensor:
    """Each class's share of all classes' maps at a patch; 0 where all are 0."""
    return maps_BChw / (maps_BChw.sum(1, keepdim=True) + EPS)


def mirror(batch: Tensor, width: int) -> Tensor:
    """Photographs mirrored left to right within their own ``width``; the padding repeats the new border."""
    flipped = batch[..., :width].flip(-1)
    return F.pad(flipped, (0, batch.shape[-1] - width, 0, 0), mode="replicate")


def to_pixels(maps_BChw: Tensor, patch: int, size: tuple[int, int]) -> Tensor:
    """Maps on the patch grid to pixels of the padded photograph, bilinearly, cropped to ``size``."""
    grid = maps_BChw.shape[-2:]
    return resize(maps_BChw.float(), (grid[0] * patch, grid[1] * patch))[..., : size[0], : size[1]]


def resize(maps_BCYX: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear, corners not aligned."""
    return F.interpolate(maps_BCYX, size=tuple(size), mode="bilinear", align_corners=False)
