"""The interface of segmenters, and our own one: a plain ViT with a mask transformer.

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
from tag2mask.segmentation.decoder import DECODERS
from tag2mask.segmentation.settings import AS_RUN, FROM_RUN, Decoder, SegmentSettings
from tag2mask.training.settings import TrainSettings
from tag2mask.vit.grid import on_grid, to_pixels
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.vit import ViT, require_plain_vit
from tag2mask.vit.weights import Weights, WeightsReport, build_backbone, normalisation, patch_of


class Segmenter(nn.Module, ABC):
    """Base class of networks from images to pixel classes."""

    patch: int  # the sides of a crop should be multiples of it

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Compute logits ``(B, K, Y, X)`` of normalised ``images (B, bands, Y, X)`` of any size."""

    @abstractmethod
    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """All trainable parameters: ``"encoder"`` (pretrained) and ``"decoder"`` (new)."""


class ViTSegmenter(Segmenter):
    """A plain timm ViT with its final norm, followed by a decoder, which does not use the class token."""

    def __init__(self, backbone: nn.Module, classes: int, decoder: Decoder = "linear") -> None:
        """Build the network around ``backbone``.

        Raises:
            SettingsError: ``backbone`` is not a plain ViT.
        """
        super().__init__()
        own_tokens = 0 if require_plain_vit(backbone).cls_token is None else 1
        self.encoder = ViT(backbone, own_tokens, registers=0, gated=False, token_noise=0.0)
        self.patch = self.encoder.patch
        self.decoder = DECODERS[decoder](self.encoder.width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Pad with 0 at the right and bottom to whole patches, resize bilinearly from patches to pixels, and crop."""
        Y, X = images.shape[-2:]
        patch_BMD, grid = self.features(images)
        return to_pixels(on_grid(self.decoder(patch_BMD).transpose(1, 2), grid), self.patch, (Y, X))

    def features(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """The decoder's input ``(B, M, D)`` and the patch grid, of images padded to whole patches."""
        Y, X = images.shape[-2:]
        features = self.encoder(F.pad(images, (0, -X % self.patch, 0, -Y % self.patch)))
        return self.encoder.norm(features.patch_BMD), features.grid

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The ViT, and the decoder."""
        return {"encoder": list(self.encoder.parameters()), "decoder": list(self.decoder.parameters())}


@dataclass(frozen=True)
class Built:
    """A segmenter, the report about its weights, and the mean and standard deviation per band that it expects."""

    segmenter: Segmenter
    report: WeightsReport
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Architecture:
    """A kind of segmenter.

    ``complete`` fills in settings from those of the run that provides the images; the crop must be set before.
    ``build`` builds a segmenter from complete settings, data settings, a number of pixel classes and weights.
    """

    complete: Callable[[SegmentSettings, TrainSettings], SegmentSettings]
    build: Callable[[SegmentSettings, DataSettings, int, Weights], Built]


def complete_vit(settings: SegmentSettings, run: TrainSettings) -> SegmentSettings:
    """Take missing settings from the run; a backbone other than the run's starts from the hub.

    Raises:
        SettingsError: the backbone is unknown or not a plain ViT, ``encoder`` is set, or a backbone other than the
            run's is to start from the run.
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
    weights = settings.weights or (FROM_RUN if same else "hub")
    if weights in (FROM_RUN, AS_RUN) and not same:
        raise SettingsError(f"weights={weights}: the run has another backbone than {backbone.name}; use hub or a file")
    return settings.model_copy(update={"backbone": backbone, "weights": run.weights if weights == AS_RUN else weights})


def build_vit(settings: SegmentSettings, data: DataSettings, classes: int, weights: Weights) -> Built:
    """Build a ViT with a decoder."""
    assert settings.backbone is not None
    model, report = build_backbone(settings.backbone, weights)
    segmenter = ViTSegmenter(model, classes, settings.decoder)
    segmenter.encoder.place(settings.backbone.positions, settings.backbone.image_size)
    return Built(segmenter, report, *normalisation(settings.backbone, data))


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({"vit": Architecture(complete_vit, build_vit)})
