"""The segmenters by name, and how one is built.

A new architecture is a subclass of ``Segmenter`` and a line in ``ARCHITECTURES``.
Shapes: B batch, K pixel classes, D width, M patches, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch.nn.functional as F
from torch import Tensor, nn

from tag2mask.errors import SettingsError
from tag2mask.masks.localize import to_pixels
from tag2mask.segmentation.decoder import MaskTransformer
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.vit import ViT, on_grid, require_plain
from tag2mask.vit.weights import Weights, WeightsReport, build_backbone


class Segmenter(nn.Module, ABC):
    """A network from photographs to pixel classes. Abstract; an architecture is final."""

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
            SettingsError: ``backbone`` is no plain ViT.
        """
        super().__init__()
        own_tokens = 0 if require_plain(backbone).cls_token is None else 1
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


Builder = Callable[[BackboneSettings, int, Weights], tuple[Segmenter, WeightsReport]]


def build_vit(backbone: BackboneSettings, classes: int, weights: Weights) -> tuple[Segmenter, WeightsReport]:
    """A ViT with a mask transformer."""
    model, report = build_backbone(backbone, weights)
    return ViTSegmenter(model, classes), report


ARCHITECTURES: Mapping[str, Builder] = MappingProxyType({"vit": build_vit})


def build_segmenter(
    architecture: str, backbone: BackboneSettings, classes: int, weights: Weights
) -> tuple[Segmenter, WeightsReport]:
    """A segmenter for ``classes`` pixel classes, its encoder filled with ``weights``.

    Raises:
        SettingsError: unknown architecture or backbone.
        WeightsError: weights that cannot be had or do not fit.
    """
    if architecture not in ARCHITECTURES:
        raise SettingsError(f"architecture {architecture!r} is unknown; there are {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[architecture](backbone, classes, weights)
