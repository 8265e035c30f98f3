"""Our own method and the default: each class is read from the patches that its class token attends to.

It builds on TokenMasking (ICCV 2025) and keeps its class tokens, register, masking and gates; the README beside this
file lists the differences and the reasons. Shapes: B batch, C classes, D width, M patches, h w patch grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tag2mask.data.classes import Classes
from tag2mask.methods.attended.settings import AttendedSettings
from tag2mask.methods.base import LOGITS, Ask, Evidence, Method, Progress, Readout, Views, require_multi_hot
from tag2mask.methods.masking import mask_absent
from tag2mask.vit.grid import on_grid
from tag2mask.vit.groups import ParameterGroup, group_parameters
from tag2mask.vit.tap import Tap
from tag2mask.vit.vit import Features, ViT, chosen_layers, last_layers

RARE = -2.0  # initial bias: most classes are absent from most images


class ClassVectors(nn.Module):
    """A vector w_c and a bias b_c for each class."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.vector_D = nn.Parameter(nn.init.trunc_normal_(torch.empty(classes, width), std=0.02))
        self.bias = nn.Parameter(torch.full((classes,), RARE))

    def forward(self, read_BCD: Tensor) -> Tensor:
        """w_c . r_c + b_c, ``(B, C, D)`` to ``(B, C)``."""
        return (read_BCD * self.vector_D).sum(-1) + self.bias

    def activations(self, patch_BMD: Tensor) -> Tensor:
        """w_c . x_m: how strongly each patch supports each class, ``(B, M, D)`` to ``(B, C, M)``."""
        spoken_BCM: Tensor = self.vector_D @ patch_BMD.transpose(1, 2)
        return spoken_BCM


class Attended(Method):
    """logit_c = w_c . sum_m A_c(m) x_m + b_c; the map is each patch's contribution to it, A_c(m) max(w_c . x_m, 0).

    A_c(m) is the attention of class token c to patch m, x_m the patch's token after the backbone's final norm.
    """

    def __init__(self, backbone: nn.Module, classes: Classes | int, settings: AttendedSettings | None = None) -> None:
        """Build it around a timm ViT.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT, or has fewer layers than the settings ask for.
        """
        super().__init__(classes)
        settings = settings or AttendedSettings()
        self.settings = settings
        self.vit = ViT(
            backbone,
            len(self.classes),
            registers=settings.registers,
            gated=settings.pruning,
            class_attention=settings.class_attention,
            cut=settings.cut,
        )
        self.head = ClassVectors(len(self.classes), self.vit.width)
        self.all_layers = last_layers(self.vit, None)
        self.map_layers = chosen_layers(self.vit, settings.map_layers)
        self.attended_layers = last_layers(self.vit, settings.attended_layers)
        self.readout = Readout(self.read_images, self.head.vector_D, self.head.bias)

    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        """Compute logits, the gate penalty in training, and class maps and affinity on request.

        Raises:
            ValueError: in training, the tags are missing or not of shape ``(B, C)``.
        """
        tap = self.tap(ask)
        features = self.vit(images, tap)
        read_BCD = self.read(features, tap)
        if self.training:
            tags_BC = require_multi_hot(tags, len(images), len(self.vit.class_CD))
            read_BCD = mask_absent(read_BCD, tags_BC, self.settings.masking_ratio)
        with torch.autocast(images.device.type, enabled=False):
            logits_BC = self.head(read_BCD.float())
        return Evidence(
            scores_BC=logits_BC,
            logits={"class_tokens": logits_BC},
            terms={"gates": self.penalty()} if self.training and self.settings.pruning else {},
            maps_BChw=on_grid(self.maps(features, tap), features.grid) if ask.maps else None,
            affinity_BMM=tap.affinity_BMM,
        )

    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        """Binary cross-entropy on float32 logits, and the gate penalty."""
        return {"bce": F.binary_cross_entropy_with_logits(evidence.scores_BC.float(), tags.float()), **evidence.terms}

    def tap(self, ask: Ask) -> Tap:
        """Return the tap that reads what ``ask`` needs from the attention."""
        map_layers = self.map_layers if ask.maps else frozenset()
        return Tap(self.attended_layers | map_layers, self.all_layers if ask.affinity else frozenset())

    def read(self, features: Features, tap: Tap) -> Tensor:
        """r_c = sum_m A_c(m) x_m, ``(B, C, D)``.

        A logit depends on the image only through attention, sum_m A_c(m) (w_c . x_m). The loss therefore moves a
        token's attention to the patches that support its class, and away from all patches if no patch does.
        """
        patch_BMD = self.vit.norm(features.patch_BMD)
        attention_BCM = tap.class_maps(self.attended_layers) / len(self.attended_layers)
        read_BCD: Tensor = attention_BCM.to(patch_BMD.dtype) @ patch_BMD
        return read_BCD

    def read_images(self, images: Tensor) -> Tensor:
        """Return the head's input for images ``(B, bands, Y, X)``, before any masking: ``(B, C, D)``."""
        tap = self.tap(LOGITS)
        return self.read(self.vit(images, tap), tap)

    def maps(self, features: Features, tap: Tap) -> Tensor:
        """Class maps ``(B, C, M)``: the attention A_c(m) of the map layers, or its contribution to the logit."""
        attention_BCM = tap.class_maps(self.map_layers, self.settings.over_layers)
        if self.settings.maps == "attention":
            return attention_BCM
        return attention_BCM * self.head.activations(self.vit.norm(features.patch_BMD).float()).clamp_min(0)

    def penalty(self) -> Tensor:
        """Lambda times the expected number of open heads."""
        return self.settings.gate_penalty * self.vit.expected_open_heads()

    def parameter_groups(self) -> list[ParameterGroup]:
        """The transformer's groups, and the head, which may start warm."""
        return [*self.vit.parameter_groups(), *group_parameters(self.head.parameters(), "heads", "heads")]
