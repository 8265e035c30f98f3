"""Which timm model is the backbone and how it is fed."""

from __future__ import annotations

from pydantic import Field

from tag2mask.settings import Settings


class BackboneSettings(Settings):
    """A plain timm ViT; ``image_size`` is the side of training crops in pixels."""

    name: str = "vit_small_patch14_dinov2"
    image_size: int = Field(224, gt=0)
    bands: int = Field(3, gt=0)
    drop_path: float = Field(0.1, ge=0, lt=1)
