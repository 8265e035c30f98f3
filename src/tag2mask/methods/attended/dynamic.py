"""The default: ``attended`` with late class tokens, computed for likely classes alone.

Class tokens enter in the last blocks and only read: no other token sees them, so each is exact without the others. A
linear head on the backbone makes the shortlist. Shapes: B batch, C classes, S chosen classes, D width, M patches,
N tokens.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tag2mask.data.classes import Classes
from tag2mask.errors import SettingsError
from tag2mask.methods.attended.model import RARE, ClassVectors
from tag2mask.methods.attended.settings import DynamicSettings
from tag2mask.methods.base import LOGITS, Ask, Evidence, Method, Progress, Readout, Views, require_multi_hot
from tag2mask.vit.grid import on_grid
from tag2mask.vit.groups import ParameterGroup, group_parameters
from tag2mask.vit.tap import Tap
from tag2mask.vit.vit import Features, ViT, chosen_layers, last_layers


class Shortlist(nn.Module):
    """A logit for every class: the highest over the backbone's tokens, without a gradient to the backbone.

    A class that covers a few patches is lost in a mean over all. The head starts at the frequency of a class if two of
    ``classes`` are in an image: weights of 0, which see the mean token first, and that bias. Where classes are few, the
    bias is that of ``ClassVectors``.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.constant_(self.linear.bias, min(RARE, -math.log(classes / 2)))

    def forward(self, features: Features) -> Tensor:
        """``(B, C)``."""
        read_BND = self.norm(torch.cat([features.class_BCD[:, :1], features.patch_BMD], 1).detach().float())
        logits_BC: Tensor = F.linear(read_BND, self.linear.weight).amax(1) + self.linear.bias
        return logits_BC


class DynamicAttended(Method):
    """logit_c = w_c . sum_m A_c(m) x_m + b_c as in ``Attended``, for the S classes of the shortlist.

    In training these are the classes of the batch's tags and negatives: half of them the likeliest, half at random. In
    evaluation they are those that are asked for and each image's likeliest. Other classes have the shortlist's logit,
    at most the least of the image's others, and no map.
    """

    def __init__(self, backbone: nn.Module, classes: Classes | int, settings: DynamicSettings | None = None) -> None:
        """Build it around a timm ViT.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT, or has fewer layers than the settings ask for, or class
                tokens do not pass a map layer.
        """
        super().__init__(classes)
        settings = settings or DynamicSettings()
        self.settings = settings
        layers = settings.attended_layers
        self.vit = ViT(
            backbone, len(self.classes), registers=settings.registers, gated=settings.pruning, token_blocks=layers
        )
        self.head = ClassVectors(len(self.classes), self.vit.width)
        self.shortlist = Shortlist(len(self.classes), self.vit.width)
        self.layers = last_layers(self.vit, layers)
        wanted = settings.map_layers
        self.map_layers = self.layers if wanted is None else chosen_layers(self.vit, wanted)
        if not self.map_layers <= self.layers:
            raise SettingsError(
                f"method.map_layers: class tokens pass the last {layers} of {len(self.vit.blocks)} layers alone; "
                "choose among these, or train with a larger method.attended_layers"
            )
        self.readout = Readout(self.read_images, self.head.vector_D, self.head.bias)

    @property
    def computes_all(self) -> bool:
        """Whether the shortlist holds all classes."""
        return self.settings.shortlist >= len(self.classes)

    def forward(self, images: Tensor, tags: Tensor | None = None, ask: Ask = LOGITS, views: Views = ()) -> Evidence:
        """Compute the losses in training, and in evaluation logits, and maps of the chosen classes on request.

        Raises:
            ValueError: in training, the tags are missing or not of shape ``(B, C)``.
        """
        tags_BC = require_multi_hot(tags, len(images), len(self.classes)) if self.training else None
        found: list[Tensor] = []

        def choose(features: Features) -> Tensor:
            listed_BC: Tensor = self.shortlist(features)
            found.extend([listed_BC, self.choose(listed_BC, tags_BC, ask)])
            return found[1]

        tap = Tap(self.layers, last_layers(self.vit, None) if ask.affinity else frozenset())
        features = self.vit(images, tap, choose)
        listed_BC, chosen_BS = found
        patch_BMD = self.vit.norm(features.patch_BMD)
        vector_BSD = self.head.vector_D[chosen_BS]
        with torch.autocast(images.device.type, enabled=False):
            logits_BS = (self.read(tap, patch_BMD) * vector_BSD).sum(-1) + self.head.bias[chosen_BS]
        if tags_BC is not None:
            terms = self.losses(listed_BC, logits_BS, chosen_BS, tags_BC.float())
            return Evidence(listed_BC, {"class_tokens": logits_BS}, terms)
        rest_BC = torch.minimum(listed_BC, logits_BS.amin(1, keepdim=True))
        scores_BC = rest_BC.scatter(1, chosen_BS, logits_BS)
        maps_BChw = None
        if ask.maps:
            maps_BSM = self.maps(tap, vector_BSD, patch_BMD)
            blank_BCM = maps_BSM.new_zeros(*scores_BC.shape, maps_BSM.shape[2])
            at_BSM = chosen_BS[..., None].expand_as(maps_BSM)
            maps_BChw = on_grid(blank_BCM.scatter(1, at_BSM, maps_BSM), features.grid)
        return Evidence(scores_BC, {"class_tokens": scores_BC}, {}, maps_BChw, tap.affinity_BMM)

    def read(self, tap: Tap, patch_BMD: Tensor) -> Tensor:
        """r_c = sum_m A_c(m) x_m of the chosen classes, ``(B, S, D)``, float32."""
        attention_BSM = tap.class_maps(self.layers) / len(self.layers)
        return (attention_BSM.to(patch_BMD.dtype) @ patch_BMD).float()

    def read_images(self, images: Tensor) -> Tensor:
        """Return the head's input of all classes for images ``(B, bands, Y, X)``: ``(B, C, D)``."""
        tap = Tap(self.layers)
        features = self.vit(images, tap)
        return self.read(tap, self.vit.norm(features.patch_BMD))

    def maps(self, tap: Tap, vector_BSD: Tensor, patch_BMD: Tensor) -> Tensor:
        """Maps of the chosen classes, ``(B, S, M)``: A_c(m) of the map layers, or its contribution to the logit."""
        attention_BSM = tap.class_maps(self.map_layers, self.settings.over_layers)
        if self.settings.maps == "attention":
            return attention_BSM
        return attention_BSM * (vector_BSD @ patch_BMD.float().transpose(1, 2)).clamp_min(0)

    def choose(self, listed_BC: Tensor, tags_BC: Tensor | None, ask: Ask) -> Tensor:
        """Return the classes whose tokens are computed, ``(B, S)``; ``tags_BC`` are those of a training step."""
        images, classes = listed_BC.shape
        if tags_BC is not None:
            return sample_classes(listed_BC.detach(), tags_BC, self.settings.sampled).expand(images, -1)
        wanted_BC = listed_BC.clone()
        wanted_BC[:, list(ask.classes)] = torch.inf
        return wanted_BC.topk(min(max(self.settings.shortlist, len(ask.classes)), classes)).indices

    def losses(self, listed_BC: Tensor, logits_BS: Tensor, chosen_BS: Tensor, tags_BC: Tensor) -> dict[str, Tensor]:
        """Binary cross-entropy of the chosen classes and of the shortlist, and the gate penalty."""
        terms = {
            "bce": F.binary_cross_entropy_with_logits(logits_BS, tags_BC.gather(1, chosen_BS)),
            "shortlist": F.binary_cross_entropy_with_logits(listed_BC, tags_BC),
        }
        if self.settings.pruning:
            terms["gates"] = self.settings.gate_penalty * self.vit.expected_open_heads()
        return terms

    def loss(self, evidence: Evidence, tags: Tensor, progress: Progress) -> dict[str, Tensor]:
        """Return the losses that the forward pass has computed: only it knows which classes were chosen."""
        return evidence.terms

    def parameter_groups(self) -> list[ParameterGroup]:
        """The transformer's groups, and both heads."""
        heads = [*self.head.parameters(), *self.shortlist.parameters()]
        return [*self.vit.parameter_groups(), *group_parameters(heads, "heads", "heads")]


def sample_classes(listed_BC: Tensor, tags_BC: Tensor, count: int) -> Tensor:
    """Indices of the batch's classes and of negatives, half the likeliest and half at random: ``count`` if it suffices.

    The likeliest negatives have the highest logit in any image of the batch.
    """
    present_C = tags_BC.bool().any(0)
    present = present_C.nonzero().flatten()
    missing = min(max(count - len(present), 0), int((~present_C).sum()))
    hard = missing // 2
    likely_C = listed_BC.amax(0).masked_fill(present_C, float("-inf"))
    hardest = likely_C.topk(hard).indices
    drawn_C = torch.rand(len(present_C), device=listed_BC.device).masked_fill(present_C, -1.0)
    drawn_C[hardest] = -1.0
    return torch.cat([present, hardest, drawn_C.topk(missing - hard).indices])
