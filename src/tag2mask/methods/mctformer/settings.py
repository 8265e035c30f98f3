"""What can be chosen in MCTformer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.settings import Settings
from tag2mask.vit.settings import MapLayers
from tag2mask.vit.tap import OverLayers


class MCTformerSettings(Settings):
    """MCTformer: V1, V2 and + are three presets of these settings.

    ``patches`` is the patch branch: ``none`` (V1), ``mean`` pooling (V2) or ``rank`` pooling (+).
    ``contrast`` weighs the loss that keeps class tokens apart in every layer (+).
    ``fusion`` joins attention S and activations F to maps: ``product`` S relu(F) (V2) or ``root`` sqrt(S relu(F)) (+).
    ``map_layers`` are the layers whose attention makes the maps: the last K, or a list of them counted from 1; None
    takes all. ``over_layers``: their ``mean``, or ``product``, the geometric mean.
    In the last ``cut`` blocks class tokens do not see each other in evaluation.
    """

    patches: Literal["none", "mean", "rank"] = "mean"
    contrast: float = Field(0.0, ge=0)
    fusion: Literal["product", "root"] = "product"
    map_layers: MapLayers = 3
    over_layers: OverLayers = "mean"
    cut: int = Field(0, ge=0)
