"""A linear class activation map on the frozen backbone, which every method should beat.

Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016.
Shapes: B batch, C classes, D width, M patches, h w patch grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tag2mask.data.classes import Classes
from tag2mask.methods.base import LOGITS, Ask, Evidence, Method, Progress, Views, soft_margins
from tag2mask.settings import Settings
from tag2mask.vit.grid import on_grid
from tag2mask.vit.groups import ParameterGroup, group_parameters
from tag2mask.vit.tap import Tap
from tag2mask.vit.vit import ViT, last_layers


class LinearCAM(Method):
    """logit_c = w_c . mean_m x_m + b_c over normalised patch tokens; the map is max(w_c . x_m, 0)."""

    def __init__(self, backbone: nn.Module, classes: Classes | int, settings: Settings | None = None) -> None:
        """Build it around a timm ViT.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT.
        """
        super().__init__(classes)
        self.vit = ViT(backbone, 1, registers=0, gated=False, token_noise=0.0).requires_grad_(False)
        self.head = nn.Linear(self.vit.width, len(self.classes))
        self.all_layers = last_layers(self.vit, None)

    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        """Compute logits from the mean patch token, and maps and affinity on request."""
        tap = Tap(frozenset(), self.all_layers if ask.affinity else frozenset())
        with torch.no_grad():
            features = self.vit(images, tap)
            patch_BMD = self.vit.norm(features.patch_BMD)
        logits_BC = self.head(patch_BMD.mean(1)).float()
        maps_BCM = (patch_BMD @ self.head.weight.T).relu().transpose(1, 2).float() if ask.maps else None
        return Evidence(
            scores_BC=logits_BC,
            logits={"patches": logits_BC},
            maps_BChw=None if maps_BCM is None else on_grid(maps_BCM, features.grid),
            affinity_BMM=tap.affinity_BMM,
        )

    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        """Multi-label soft margin."""
        return soft_margins(evidence, tags)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Only the head: the backbone is frozen."""
        return group_parameters(self.head.parameters(), "tokens", "heads")
