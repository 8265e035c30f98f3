"""Grad-CAM on a plain ViT, at the input of the last block.

Selvaraju et al., "Grad-CAM", ICCV 2017.
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


class GradCAM(Method):
    """A linear classifier on one class token; alpha_c = mean_m d logit_c / d x_m, map = max(alpha_c . x_m, 0)."""

    def __init__(self, backbone: nn.Module, classes: Classes | int, settings: Settings | None = None) -> None:
        """Build it around a timm ViT.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT.
        """
        super().__init__(classes)
        self.vit = ViT(backbone, 1, registers=0, gated=False, token_noise=0.0)
        self.head = nn.Linear(self.vit.width, len(self.classes))
        self.all_layers = last_layers(self.vit, None)

    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        """Compute logits from the class token; maps need gradients, which are enabled for the last block only."""
        affinity = self.all_layers if ask.affinity else frozenset()
        tap = Tap(frozenset(), affinity, leaf_layer=len(self.vit.blocks) - 1 if ask.maps else None)
        with torch.set_grad_enabled(ask.maps or torch.is_grad_enabled()):
            features = self.vit(images, tap)
            logits_BC = self.head(self.vit.norm(features.class_BCD[:, 0])).float()
            maps_BCM = self.weighed_activations(tap, logits_BC, features.patch_BMD.shape[1]) if ask.maps else None
        if maps_BCM is not None and not self.training:
            logits_BC = logits_BC.detach()
        return Evidence(
            scores_BC=logits_BC,
            logits={"class_token": logits_BC},
            maps_BChw=None if maps_BCM is None else on_grid(maps_BCM, features.grid),
            affinity_BMM=None if tap.affinity_BMM is None else tap.affinity_BMM.detach(),
        )

    def weighed_activations(self, tap: Tap, logits_BC: Tensor, patches: int) -> Tensor:
        """Maps ``(B, C, M)``, by one backward pass per class."""
        assert tap.leaf is not None
        first = tap.leaf.shape[1] - patches
        activations_BMD = tap.leaf.detach()[:, first:].float()
        maps = []
        for logit_B in logits_BC.sum(0):
            [gradient_BND] = torch.autograd.grad(logit_B, tap.leaf, retain_graph=True)
            alpha_BD = gradient_BND[:, first:].float().mean(1)
            maps.append((activations_BMD @ alpha_BD.unsqueeze(-1)).squeeze(-1).relu())
        return torch.stack(maps, 1)

    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        """Multi-label soft margin."""
        return soft_margins(evidence, tags)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The transformer's groups, and the head at the class token's learning rate."""
        return [*self.vit.parameter_groups(), *group_parameters(self.head.parameters(), "tokens", "heads")]
