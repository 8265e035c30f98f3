"""From images to class maps with a tagged run's method.

Shapes: B batch, C classes, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tag2mask.inference.look import sum_maps
from tag2mask.inference.method_network import MethodNetwork
from tag2mask.masks.refine import PATCH_REFINERS, refine_patches
from tag2mask.masks.settings import SHARE_EPS, MaskSettings
from tag2mask.methods import Ask, Evidence, Method


@dataclass(frozen=True)
class Localized:
    """An image's logits ``(C,)``, the mean over looks, and class maps ``(C, Y, X)`` at the first scale's size."""

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
    """Class maps of images of one size, ``(bands, Y, X)`` in [0, 1] each; ``side`` is the short side of training.

    Maps are summed over looks before any normalisation.
    """

    def read(evidence: Evidence) -> Tensor:
        assert evidence.maps_BChw is not None
        maps_BChw = share(evidence.maps_BChw) if settings.paint.relative else evidence.maps_BChw
        return refine_patches(evidence, maps_BChw, settings.refine.names)

    ask = Ask(maps=True, affinity=any(name in PATCH_REFINERS for name in settings.refine.names))
    seen = sum_maps(MethodNetwork(method, side, mean, std, ask, read), images, settings.look)
    assert seen.scores is not None
    return [Localized(*each) for each in zip(seen.scores.float().cpu(), seen.maps.float().cpu(), strict=True)]


def share(maps_BChw: Tensor) -> Tensor:
    """Each class's share of all classes' maps at a patch; 0 where all are 0."""
    return maps_BChw / (maps_BChw.sum(1, keepdim=True) + SHARE_EPS)
