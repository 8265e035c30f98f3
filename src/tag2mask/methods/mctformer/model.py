"""MCTformer V1, V2 and +: one token per class, whose logit is the mean over its width, and a parallel patch branch.

Xu et al., "Multi-class Token Transformer for Weakly Supervised Semantic Segmentation", CVPR 2022 (V1, V2);
"MCTformer+", 2023 (rank pooling, class-token contrast). Implemented from the papers' text.
Shapes: B batch, C classes, D width, M patches, h w patch grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tag2mask.data.classes import Classes
from tag2mask.methods.base import LOGITS, Ask, Evidence, Method, Progress, Views, require_multi_hot, soft_margins
from tag2mask.methods.mctformer.settings import MCTformerSettings
from tag2mask.methods.patch_head import PatchHead, mean_pooling, rank_pooling
from tag2mask.vit.grid import on_grid
from tag2mask.vit.groups import ParameterGroup, group_parameters
from tag2mask.vit.tap import Tap
from tag2mask.vit.vit import ViT, chosen_layers, last_layers


class MCTformer(Method):
    """All three versions. Tokens are read from the raw residual stream, without the backbone's final norm."""

    def __init__(self, backbone: nn.Module, classes: Classes | int, settings: MCTformerSettings | None = None) -> None:
        """Build it around a timm ViT.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT, or has fewer layers than ``map_layers`` asks for.
        """
        super().__init__(classes)
        settings = settings or MCTformerSettings()
        self.settings = settings
        # All class tokens start as the pretrained one; only the loss makes them differ.
        self.vit = ViT(backbone, len(self.classes), registers=0, gated=False, token_noise=0.0, cut=settings.cut)
        self.vit.drop_norm()
        self.patch_head = None if settings.patches == "none" else PatchHead(len(self.classes), self.vit.width)
        self.all_layers = last_layers(self.vit, None)
        self.map_layers = chosen_layers(self.vit, settings.map_layers)

    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        """Compute logits of both branches, and maps and affinity on request; only the contrast needs ``tags``."""
        tap = Tap(
            self.map_layers if ask.maps else frozenset(),
            self.all_layers if ask.affinity else frozenset(),
            wants_tokens=self.training and self.settings.contrast > 0,
        )
        features = self.vit(images, tap)
        logits = {"class_tokens": features.class_BCD.float().mean(-1)}
        activations_BChw = None if self.patch_head is None else self.patch_head(features)
        if activations_BChw is not None:
            pool = rank_pooling if self.settings.patches == "rank" else mean_pooling
            logits["patches"] = pool(activations_BChw)
        return Evidence(
            scores_BC=torch.stack(list(logits.values())).mean(0),
            logits=logits,
            terms={"contrast": self.contrast(tap, tags)} if tap.wants_tokens else {},
            maps_BChw=self.fuse(tap, activations_BChw, features.grid) if ask.maps else None,
            affinity_BMM=tap.affinity_BMM,
        )

    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        """Multi-label soft margin of each branch, and the weighted contrast between class tokens."""
        return {**soft_margins(evidence, tags), **evidence.terms}

    def contrast(self, tap: Tap, tags: Tensor | None) -> Tensor:
        """The weighted contrast between class tokens."""
        class_BCD = tap.class_tokens[0]
        return self.settings.contrast * contrast(tap.class_tokens, require_multi_hot(tags, *class_BCD.shape[:2]))

    def fuse(self, tap: Tap, activations_BChw: Tensor | None, grid: tuple[int, int]) -> Tensor:
        """S = sum_l A_l over the map layers (V1); S relu(F) (V2); sqrt(mean_l A_l relu(F)) (+)."""
        attention_BChw = on_grid(tap.class_maps(self.map_layers, self.settings.over_layers), grid)
        if activations_BChw is None:
            return attention_BChw
        fused_BChw = attention_BChw * activations_BChw.relu()
        return fused_BChw if self.settings.fusion == "product" else (fused_BChw / len(self.map_layers)).sqrt()

    def parameter_groups(self) -> list[ParameterGroup]:
        """The transformer's groups, and the patch head at the class tokens' learning rate."""
        head = () if self.patch_head is None else self.patch_head.parameters()
        return [*self.vit.parameter_groups(), *group_parameters(head, "tokens", "heads")]


def contrast(tokens: Sequence[Tensor], tags_BC: Tensor) -> Tensor:
    """Contrast between class tokens: cross-entropy of their cosine similarities against the identity matrix.

    Each present class's token should be most similar to itself. ``tokens`` are the class tokens ``(B, C, D)`` of every
    layer; the loss is the mean over layers and images.
    """
    present_BC = tags_BC.float()
    terms = []
    for class_BCD in tokens:
        unit_BCD = F.normalize(class_BCD.float(), dim=-1)
        cosine_BCC = unit_BCD @ unit_BCD.transpose(1, 2)
        own_BC = -cosine_BCC.log_softmax(-1).diagonal(dim1=1, dim2=2)
        terms.append(((own_BC * present_BC).sum(1) / (present_BC.sum(1) + 1e-8)).mean())
    return torch.stack(terms).mean()
