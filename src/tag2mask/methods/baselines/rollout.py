"""Attention rollout of class tokens.

Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, with one class token per class.
Shapes: B batch, C classes, D width, H heads, N tokens, h w patch grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tag2mask.data.classes import Classes
from tag2mask.methods.base import LOGITS, Ask, Evidence, Method, Progress, Views, soft_margins
from tag2mask.settings import Settings
from tag2mask.vit.grid import on_grid
from tag2mask.vit.groups import ParameterGroup
from tag2mask.vit.tap import Tap, attention_rows
from tag2mask.vit.vit import ViT, last_layers


class Rollout(Method):
    """Trained as MCTformer V1; the map is the class token's row of the product of (A_l + I) / 2 over all layers."""

    def __init__(self, backbone: nn.Module, classes: Classes | int, settings: Settings | None = None) -> None:
        """Build it around a timm ViT.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT.
        """
        super().__init__(classes)
        self.vit = ViT(backbone, len(self.classes), registers=0, gated=False, token_noise=0.0)
        self.vit.drop_norm()
        self.all_layers = last_layers(self.vit, None)

    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        """Compute logits from the class tokens, and maps and affinity on request."""
        tap = Tap(frozenset(), self.all_layers if ask.affinity else frozenset(), wants_heads=ask.maps)
        features = self.vit(images, tap)
        logits_BC = features.class_BCD.float().mean(-1)
        return Evidence(
            scores_BC=logits_BC,
            logits={"class_tokens": logits_BC},
            maps_BChw=on_grid(roll_out(tap), features.grid) if ask.maps else None,
            affinity_BMM=tap.affinity_BMM,
        )

    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        """Multi-label soft margin."""
        return soft_margins(evidence, tags)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The transformer's groups."""
        return self.vit.parameter_groups()


def roll_out(tap: Tap) -> Tensor:
    """Class rows ``(B, C, M)`` of the product, computed from the last layer to the first, one layer at a time."""
    row_BCN: Tensor | None = None
    for q, k, tokens in reversed(tap.projections):
        attention_BNN = attention_rows(q, k, slice(None), tokens).mean(1)
        if row_BCN is None:
            one_CN = torch.eye(attention_BNN.shape[-1], device=q.device)[: tokens.classes]
            row_BCN = one_CN.expand(q.shape[0], -1, -1)
        row_BCN = (row_BCN + row_BCN @ attention_BNN) / 2
    assert row_BCN is not None
    return row_BCN[..., tokens.patch_slice]
