"""What can be chosen in MCTformer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.settings import Settings


class MCTformerSettings(Settings):
    """MCTformer: V1, V2 and + are three presets of these settings.

    ``patches`` is the patch branch: ``none`` (V1), ``mean`` pooling (V2) or ``rank`` pooling (+).
    ``contrast`` weighs the loss that keeps class tokens apart in every layer (+).
    ``fusion`` joins attention S and activations F to maps: ``product`` S relu(F) (V2) or ``root`` sqrt(S relu(F)) (+).
    ``map_layers`` are the last K layers whose attention makes the maps; None takes all of them.
    """

    patches: Literal["none", "mean", "rank"] = "mean"
    contrast: float = Field(0.0, ge=0)
    fusion: Literal["product", "root"] = "product"
    map_layers: int | None = Field(3, ge=1)
