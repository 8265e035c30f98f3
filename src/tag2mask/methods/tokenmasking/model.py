"""TokenMasking: one class token a class, random masking of absent classes' tokens, gated heads, maps from attention.

Hanna and Borth, "Know Your Attention Maps: Class-specific Token Masking for Weakly Supervised Semantic Segmentation",
ICCV 2025. Implemented from the paper's text.
Shapes: B batch, C classes, D width, H heads, L layers, M patches, h w patch grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tag2mask.data.classes import Classes
from tag2mask.errors import SettingsError
from tag2mask.methods.base import LOGITS, Ask, Evidence, Method, Progress, Readout, Views, require_tags
from tag2mask.methods.tokenmasking.heads import VectorHead, build_head
from tag2mask.methods.tokenmasking.settings import TokenMaskingSettings
from tag2mask.vit.gates import HardConcrete, StraightThrough
from tag2mask.vit.grid import on_grid
from tag2mask.vit.groups import ParameterGroup, grouped
from tag2mask.vit.tap import Tap
from tag2mask.vit.vit import Features, ViT, chosen_layers, last_layers

HEAD_WEIGHTS: Mapping[str, Callable[[Tensor], Tensor]] = {"open": lambda gate_H: gate_H, "all": torch.ones_like}

GATES: Mapping[str, type[HardConcrete]] = MappingProxyType({"soft": HardConcrete, "hard": StraightThrough})


class TokenMasking(Method):
    """The whole method. Section numbers are the paper's."""

    def __init__(self, backbone: nn.Module, classes: Classes, settings: TokenMaskingSettings) -> None:
        """Build it around a timm ViT.

        Raises:
            SettingsError: ``backbone`` is no plain ViT; more map layers than layers; settings that exclude each other.
        """
        super().__init__(classes)
        require_consistent(settings)
        self.settings = settings
        start = None if settings.gate_start == "xavier" else float(settings.gate_start)
        self.vit = ViT(
            backbone,
            len(classes),
            registers=settings.registers,
            gated=settings.pruning,
            class_attention=settings.class_attention,
            token_noise=settings.token_noise,
            gate=partial(GATES[settings.gates], log_alpha=start),
            cut=settings.cut,
        )
        self.head = build_head(settings.head, len(classes), self.vit.width)
        self.all_layers = last_layers(self.vit, None)
        self.map_layers = chosen_layers(self.vit, settings.map_layers)
        self.attended_layers = last_layers(self.vit, settings.attended_layers)
        if isinstance(self.head, VectorHead) and settings.head == "per_token":
            self.readout = Readout(self.read_images, self.head.vector_D, self.head.bias)

    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        """Logits of the class tokens, the gate penalty, and on demand class maps and affinity.

        Raises:
            ValueError: training without tags, or tags of another shape than ``(B, C)``.
        """
        tap = self.tap(ask)
        features = self.vit(images, tap)
        class_BCD = self.read(features, tap)
        if self.training:
            class_BCD = mask_absent(
                class_BCD, require_tags(tags, len(images), len(self.vit.class_CD)), self.settings.masking_ratio
            )
        with torch.autocast(images.device.type, enabled=False):
            logits_BC = self.head(class_BCD.float())
        return Evidence(
            scores_BC=logits_BC,
            logits={"class_tokens": logits_BC},
            terms={"gates": self.penalty()} if self.training and self.settings.pruning else {},
            maps_BChw=on_grid(self.maps(features, tap), features.grid) if tap and ask.maps else None,
            affinity_BMM=None if tap is None else tap.affinity_BMM,
        )

    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        """L = L_cls + lambda sum_heads P(g > 0): binary cross-entropy on float32 logits, and the gates' penalty."""
        return {"bce": F.binary_cross_entropy_with_logits(evidence.scores_BC.float(), tags.float()), **evidence.terms}

    def read(self, features: Features, tap: Tap | None) -> Tensor:
        """What stands for each class at the head, ``(B, C, D)``: its token, or the patches that its token attends to.

        ``attended`` leaves attention as the only way from the photograph to a logit, sum_m A_c(m) (w_c . x_m): the loss
        moves a token's attention to the patches that speak for its class, and off all patches when there is none.
        """
        if self.settings.reads == "token":
            return self.final(features.class_BCD)
        assert tap is not None
        patch_BMD = self.final(features.patch_BMD)
        attention_BCM = tap.class_maps(self.attended_layers) / len(self.attended_layers)
        read_BCD: Tensor = attention_BCM.to(patch_BMD.dtype) @ patch_BMD
        return read_BCD

    def read_images(self, images: Tensor) -> Tensor:
        """What the head sees of images ``(B, bands, Y, X)``, before any masking: ``(B, C, D)``."""
        tap = self.tap(Ask())
        return self.read(self.vit(images, tap), tap)

    def final(self, x_BND: Tensor) -> Tensor:
        """Tokens after the backbone's last norm, or from the raw residual stream."""
        if not self.settings.final_norm:
            return x_BND
        normed: Tensor = self.vit.norm(x_BND)
        return normed

    def maps(self, features: Features, tap: Tap) -> Tensor:
        """Class maps ``(B, C, M)``: attention A_c(m) of the map layers, or what it adds to the logit of its class."""
        attention_BCM = tap.class_maps(self.map_layers, self.settings.over_layers)
        if not isinstance(self.head, VectorHead) or self.settings.maps == "attention":
            return attention_BCM
        return attention_BCM * self.head.evidence(self.final(features.patch_BMD).float()).clamp_min(0)

    def penalty(self) -> Tensor:
        """L_reg: lambda times the expected number of open heads."""
        return (
            self.settings.gate_penalty * torch.stack([gate.open_probability().sum() for gate in self.vit.gates()]).sum()
        )

    def tap(self, ask: Ask) -> Tap | None:
        """What has to be read from the attention to give what is asked for."""
        layers: frozenset[int] = self.map_layers if ask.maps else frozenset()
        if self.settings.reads == "attended":
            layers |= self.attended_layers
        affinity = self.all_layers if ask.affinity else frozenset()
        if not layers and not affinity:
            return None
        return Tap(layers, affinity, head_weights=HEAD_WEIGHTS[self.settings.heads])

    def parameter_groups(self) -> list[ParameterGroup]:
        """The transformer's, and the head, which may start warm."""
        return [*self.vit.parameter_groups(), *grouped(self.head.parameters(), "heads", "heads")]


def require_consistent(settings: TokenMaskingSettings) -> None:
    """No setting makes another meaningless.

    Raises:
        SettingsError: one does.
    """
    if settings.head == "mean" and settings.final_norm:
        raise SettingsError("head mean learns nothing on normalised tokens, whose mean is fixed: set final_norm=false")
    if settings.heads == "all" and settings.reads == "attended" and settings.pruning:
        raise SettingsError(
            "heads all needs reads=token: with reads=attended the logits come from the maps' heads, the open ones"
        )
    additive = settings.reads == "attended" and settings.head in ("per_token", "shared")
    if settings.maps == "contribution" and not additive:
        raise SettingsError(
            "maps contribution needs reads=attended and head per_token or shared, where every patch adds a part to the "
            "logit; otherwise set method.maps=attention"
        )


def mask_absent(class_BCD: Tensor, tags_BC: Tensor, ratio: float) -> Tensor:
    """z_L^i <- (1 - m(i)) z_L^i: m(i) = 1 with probability ``ratio`` for classes outside the image's tags, else 0."""
    drawn_BC = torch.rand(tags_BC.shape, device=class_BCD.device)
    return class_BCD * keep_mask(drawn_BC, tags_BC, ratio).unsqueeze(-1).to(class_BCD.dtype)


def keep_mask(drawn_BC: Tensor, tags_BC: Tensor, ratio: float) -> Tensor:
    """1 - m(i) for uniform draws ``(B, C)``: 0 where a class is absent and its draw is below ``ratio``."""
    return (tags_BC.bool() | (drawn_BC >= ratio)).float()
