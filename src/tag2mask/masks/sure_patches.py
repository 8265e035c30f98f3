"""Which patches are surely what, by the class maps of several looks at an image. No truth is opened.

Shapes: K tags of an image, M patches, h w patch grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tag2mask.masks.paint import normalise
from tag2mask.masks.refine.linear_probe import UNSURE


def sure_patches(
    looks: Sequence[Tensor], tags: Sequence[int], background: bool, sure: float, margin: float, bare: float
) -> Tensor:
    """The score that each patch surely shows, or ``UNSURE``: ``(h, w)``. Every tag has one sure patch or more.

    ``looks`` are class maps ``(K, h, w)`` of the image's tags on one grid. An image without tags is all background.
    """
    [grid] = {maps_Khw.shape[-2:] for maps_Khw in looks}
    labels_hw = torch.full(grid, UNSURE)
    if not tags:
        return torch.zeros_like(labels_hw) if background else labels_hw
    heights_LKhw = torch.stack([torch.from_numpy(normalise(maps_Khw.numpy())) for maps_Khw in looks])
    if background:
        labels_hw[heights_LKhw.amax((0, 1)) < bare] = 0
    least_Khw = heights_LKhw.amin(0)
    lead_Khw = least_Khw - rivals(least_Khw)
    scores_K = torch.tensor(tags) + int(background)
    is_sure_Khw = (least_Khw > sure) & (lead_Khw > margin)
    for is_sure_hw, lead_hw, score in zip(is_sure_Khw, lead_Khw, scores_K, strict=True):
        # The tag says that the class is somewhere: at least where its map leads most.
        labels_hw[is_sure_hw if is_sure_hw.any() else lead_hw == lead_hw.max()] = score
    return labels_hw


def rivals(maps_Khw: Tensor) -> Tensor:
    """The highest of the other maps at each patch, 0 where there is no other: ``(K, h, w)``."""
    if len(maps_Khw) == 1:
        return torch.zeros_like(maps_Khw)
    first, second = maps_Khw.topk(2, 0).values
    return torch.where(maps_Khw == first, second, first)
