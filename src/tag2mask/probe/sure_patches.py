"""Labels of the patches that surely show a class, from the class maps of an image at one scale. No truth is opened.

Shapes: K tags of an image, L looks (scales), N patches, h w patch grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tag2mask.probe.linear import UNSURE


def sure_patches(
    maps_Khw: Tensor, tags: Sequence[int], background: bool, sure: float, margin: float, bare: float
) -> Tensor:
    """The score that each patch surely shows, or ``UNSURE``: ``(h, w)``.

    Every tag gets at least one patch, unless its map is 0 everywhere.
    ``maps_Khw`` are the normalised class maps of the image's tags. An image without tags is all background.
    """
    labels_hw = torch.full(maps_Khw.shape[-2:], UNSURE)
    if not tags:
        return torch.zeros_like(labels_hw) if background else labels_hw
    if background:
        labels_hw[empty_patches(maps_Khw, bare)] = 0
    lead_Khw = maps_Khw - rivals(maps_Khw)
    scores_K = torch.tensor(tags) + int(background)
    is_sure_Khw = (maps_Khw > sure) & (lead_Khw > margin)
    for map_hw, is_sure_hw, lead_hw, score in zip(maps_Khw, is_sure_Khw, lead_Khw, scores_K, strict=True):
        # The tag guarantees that the class is somewhere: at least where its map exceeds the others most.
        if map_hw.any():
            labels_hw[is_sure_hw if is_sure_hw.any() else lead_hw == lead_hw.max()] = score
    return labels_hw


def empty_patches(maps_Khw: Tensor, below: float) -> Tensor:
    """Whether all normalised maps of an image are lower than ``below``, at each patch: ``(h, w)``."""
    return (maps_Khw < below).all(0)


def rivals(maps_Khw: Tensor) -> Tensor:
    """For each map, the highest of the other maps at each patch, or 0 if there is no other: ``(K, h, w)``."""
    if len(maps_Khw) == 1:
        return torch.zeros_like(maps_Khw)
    first, second = maps_Khw.topk(2, 0).values
    return torch.where(maps_Khw == first, second, first)


def unanimous_labels(labels_NL: Tensor) -> Tensor:
    """The label that a patch has in all looks, or ``UNSURE``: ``(N,)``."""
    return torch.where((labels_NL == labels_NL[:, :1]).all(1), labels_NL[:, 0], UNSURE)
