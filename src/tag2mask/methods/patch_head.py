"""Class evidence from patch tokens, as in TS-CAM and in the patch branches of MCTformer and WeakTr.

Shapes: B batch, C classes, D width, M patches, h w patch grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tag2mask.vit.grid import on_grid
from tag2mask.vit.vit import Features


class PatchHead(nn.Module):
    """A 3 x 3 convolution from patch tokens to one activation map per class (PatchCAM)."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, classes, 3, padding=1)

    def forward(self, features: Features) -> Tensor:
        """Activations ``(B, C, h, w)`` in float32, positive or negative."""
        activations: Tensor = self.conv(on_grid(features.patch_BMD.transpose(1, 2), features.grid))
        return activations.float()


def mean_pooling(maps_BChw: Tensor) -> Tensor:
    """Logits ``(B, C)``: the mean over patches."""
    return maps_BChw.mean((2, 3))


def rank_pooling(maps_BChw: Tensor, decay: float = 0.996) -> Tensor:
    """Logits ``(B, C)``: sum_j d^j s_(j) / sum_j d^j over a class's scores in descending order (MCTformer+)."""
    scores_BCM = maps_BChw.flatten(2).sort(-1, descending=True).values
    weight_M = decay ** torch.arange(scores_BCM.shape[-1], device=scores_BCM.device, dtype=scores_BCM.dtype)
    return (scores_BCM * weight_M).sum(-1) / weight_M.sum()
