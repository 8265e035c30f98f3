"""What a segmenter is, and the one of our own: a plain ViT with a mask transformer.

Shapes: B batch, K pixel classes, D width, M patches, h w patch grid, Y X pixels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch.nn.functional as F
from torch import Tensor, nn

from tag2mask.data import DataSettings
from tag2mask.errors import SettingsError
from tag2mask.segmentation.decoder import MaskTransformer
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.training.settings import TrainSettings
from tag2mask.vit.grid import on_grid, to_pixels
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.vit import ViT, require_plain_vit
from tag2mask.vit.weights import Weights, WeightsReport, build_backbone, normalisation, patch_of


class Segmenter(nn.Module, ABC):
    """A network from images to pixel classes. Abstract; an architecture is final."""

    patch: int  # what the sides of a crop are best multiples of

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Normalised ``images (B, bands, Y, X)`` of any size to logits ``(B, K, Y, X)``."""

    @abstractmethod
    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """All trainable parameters: ``"encoder"`` (pretrained) and ``"decoder"`` (new)."""


class ViTSegmenter(Segmenter):
    """A plain timm ViT, its final norm on and its class token dropped behind it, and a mask transformer."""

    def __init__(self, backbone: nn.Module, classes: int) -> None:
        """Build the network around ``backbone``.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT.
        """
        super().__init__()
        own_tokens = 0 if require_plain_vit(backbone).cls_token is None else 1
        self.encoder = ViT(backbone, own_tokens, registers=0, gated=False, token_noise=0.0)
        self.patch = self.encoder.patch
        self.decoder = MaskTransformer(self.encoder.width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Padded with 0 right and below to whole patches, and cut again; bilinear from patches to pixels."""
        Y, X = images.shape[-2:]
        features = self.encoder(F.pad(images, (0, -X % self.patch, 0, -Y % self.patch)))
        scores_BMK = self.decoder(self.encoder.norm(features.patch_BMD))
        return to_pixels(on_grid(scores_BMK.transpose(1, 2), features.grid), self.patch, (Y, X))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The ViT, and the mask transformer."""
        return {"encoder": list(self.encoder.parameters()), "decoder": list(self.decoder.parameters())}


@dataclass(frozen=True)
class Built:
    """A segmenter, what was loaded into it, and the mean and standard deviation a band of what it wants to see."""

    segmenter: Segmenter
    report: WeightsReport
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Architecture:
    """A kind of segmenters.

    ``complete`` decides what the settings leave open, from those of the run that gave the images; the crop is
    decided by then. ``build`` makes one for such settings, images, a number of pixel classes and weights.
    """

    complete: Callable[[SegmentSettings, TrainSettings], SegmentSettings]
    build: Callable[[SegmentSettings, DataSettings, int, Weights], Built]


def complete_vit(settings: SegmentSettings, run: TrainSettings) -> SegmentSettings:
    """What is not given is the run's own; another backbone than the run's starts from the hub.

    Raises:
        SettingsError: the backbone is unknown or no plain ViT, or the encoder of another architecture is named.
    """
    if settings.encoder is not None:
        raise SettingsError(f"encoder={settings.encoder}: a vit's encoder is its backbone; name it with --backbone")
    assert settings.crop is not None
    given = {} if settings.backbone is None else settings.backbone.model_dump(exclude_unset=True)
    same = given.get("name", run.backbone.name) == run.backbone.name
    backbone = (run.backbone if same else BackboneSettings()).model_copy(update=given)
    patch = patch_of(backbone)
    size = math.ceil(settings.crop / patch) * patch
    backbone = backbone.model_copy(update={"image_size": size, "bands": run.data.bands})
    weights = settings.weights or (run.weights if same else "hub")
    return settings.model_copy(update={"backbone": backbone, "weights": weights})


def build_vit(settings: SegmentSettings, data: DataSettings, classes: int, weights: Weights) -> Built:
    """A ViT with a mask transformer."""
    assert settings.backbone is not None
    model, report = build_backbone(settings.backbone, weights)
    segmenter = ViTSegmenter(model, classes)
    segmenter.encoder.place(settings.backbone.positions, settings.backbone.image_size)
    return Built(segmenter, report, *normalisation(settings.backbone, data))


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({"vit": Architecture(complete_vit, build_vit)})
