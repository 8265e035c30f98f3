"""TokenMasking as published: a token for each class, random masking of absent classes' tokens, gated heads.

Hanna and Borth, "Know Your Attention Maps: Class-specific Token Masking for Weakly Supervised Semantic Segmentation",
ICCV 2025. Implemented from the paper's text, in its order: tokens, masking, gates and loss, maps.
Shapes: B batch, C classes, D width, H heads, h w patch grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tag2mask.data.classes import Classes
from tag2mask.methods.base import LOGITS, Ask, Evidence, Method, Progress, Views, require_multi_hot
from tag2mask.methods.masking import mask_absent
from tag2mask.methods.tokenmasking.settings import TokenMaskingSettings
from tag2mask.vit.gates import HardConcrete, StraightThrough
from tag2mask.vit.grid import on_grid
from tag2mask.vit.groups import ParameterGroup, group_parameters
from tag2mask.vit.tap import Tap
from tag2mask.vit.vit import ViT, chosen_layers, last_layers

GATES: Mapping[str, type[HardConcrete]] = MappingProxyType({"soft": HardConcrete, "hard": StraightThrough})
HEAD_WEIGHTS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"open": lambda gate_H: gate_H, "all": torch.ones_like}
)
RARE = -2.0  # initial bias: most classes are absent from most images


class ConcatHead(nn.Module):
    """One linear layer over the concatenated class tokens, C D values.

    A masked token is zero in the input of every logit, and only absent classes are masked. In training, the zeros
    therefore reveal which classes are absent.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(classes * width, classes)

    def forward(self, class_BCD: Tensor) -> Tensor:
        """``(B, C, D)`` to ``(B, C)``."""
        logits: Tensor = self.linear(class_BCD.flatten(1))
        return logits


class TokenHead(nn.Module):
    """The dot product of each token with its own vector. The number of parameters grows linearly with C."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.vector_D = nn.Parameter(nn.init.trunc_normal_(torch.empty(classes, width), std=0.02))
        self.bias = nn.Parameter(torch.full((classes,), RARE))

    def forward(self, class_BCD: Tensor) -> Tensor:
        """``(B, C, D)`` to ``(B, C)``."""
        return (class_BCD * self.vector_D).sum(-1) + self.bias


HEADS: Mapping[str, type[ConcatHead | TokenHead]] = MappingProxyType({"concat": ConcatHead, "per_token": TokenHead})


class TokenMasking(Method):
    """The complete method."""

    def __init__(
        self, backbone: nn.Module, classes: Classes | int, settings: TokenMaskingSettings | None = None
    ) -> None:
        """Build it around a timm ViT: z_0 = [CLS_1 .. CLS_C ; patches ; REG] passes through blocks with gated heads.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT, or has fewer layers than ``map_layers`` asks for.
        """
        super().__init__(classes)
        settings = settings or TokenMaskingSettings()
        self.settings = settings
        self.all_learn = settings.final_norm  # without it, the norm's weights have no part in the loss
        start = None if settings.gate_start == "xavier" else float(settings.gate_start)
        self.vit = ViT(
            backbone,
            len(self.classes),
            registers=settings.registers,
            gated=settings.pruning,
            gate=partial(GATES[settings.gates], log_alpha=start),
        )
        self.head = HEADS[settings.head](len(self.classes), self.vit.width)
        self.all_layers = last_layers(self.vit, None)
        self.map_layers = chosen_layers(self.vit, settings.map_layers)

    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        """Compute logits from the class tokens, the gate penalty in training, and class maps and affinity on request.

        Raises:
            ValueError: in training, the tags are missing or not of shape ``(B, C)``.
        """
        tap = self.tap(ask)
        features = self.vit(images, tap)
        class_BCD = self.vit.norm(features.class_BCD) if self.settings.final_norm else features.class_BCD
        if self.training:
            tags_BC = require_multi_hot(tags, len(images), len(self.vit.class_CD))
            class_BCD = mask_absent(class_BCD, tags_BC, self.settings.masking_ratio)
        with torch.autocast(images.device.type, enabled=False):
            logits_BC = self.head(class_BCD.float())
        return Evidence(
            scores_BC=logits_BC,
            logits={"class_tokens": logits_BC},
            terms={"gates": self.penalty()} if self.training and self.settings.pruning else {},
            maps_BChw=on_grid(tap.class_maps(self.map_layers), features.grid) if ask.maps else None,
            affinity_BMM=tap.affinity_BMM,
        )

    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        """L = L_cls + lambda sum_heads P(g > 0): binary cross-entropy on float32 logits, and the gate penalty."""
        return {"bce": F.binary_cross_entropy_with_logits(evidence.scores_BC.float(), tags.float()), **evidence.terms}

    def penalty(self) -> Tensor:
        """L_reg: lambda times the expected number of open heads."""
        return self.settings.gate_penalty * self.vit.expected_open_heads()

    def prune(self) -> None:
        """Remove closed heads, unless maps are the mean over all."""
        if self.settings.heads == "open":
            super().prune()

    def tap(self, ask: Ask) -> Tap:
        """Read class-to-patch attention for the maps, and patch-to-patch attention of all layers for the affinity."""
        return Tap(
            self.map_layers if ask.maps else frozenset(),
            self.all_layers if ask.affinity else frozenset(),
            head_weights=HEAD_WEIGHTS[self.settings.heads],
        )

    def parameter_groups(self) -> list[ParameterGroup]:
        """The transformer's groups, and the head."""
        return [*self.vit.parameter_groups(), *group_parameters(self.head.parameters(), "heads", "heads")]
