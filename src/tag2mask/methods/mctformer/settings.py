"""Settings of MCTformer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.settings import Settings
from tag2mask.vit.settings import MapLayers, OverLayers


class MCTformerSettings(Settings):
    """Settings of MCTformer; V1, V2 and + differ in them.

    ``fusion`` combines attention S and activations F: ``product`` is S relu(F) (V2), ``root`` is sqrt(S relu(F)) (+).
    """

    patches: Literal["none", "mean", "rank"] = Field(
        "mean", description="Patch branch: none (V1), mean pooling (V2) or rank pooling (+)"
    )
    contrast: float = Field(0.0, ge=0, description="Weight of the loss that keeps class tokens apart in all layers (+)")
    fusion: Literal["product", "root"] = Field(
        "product", description="Attention times activations, or the square root of that"
    )
    map_layers: MapLayers = Field(
        3, description="Layers whose attention makes the maps: the last K, or a list counted from 1; null: all"
    )
    over_layers: OverLayers = Field("mean", description="Arithmetic mean over the layers, or geometric (product)")
    cut: int = Field(0, ge=0, description="Number of last blocks that hide class tokens from each other in evaluation")
