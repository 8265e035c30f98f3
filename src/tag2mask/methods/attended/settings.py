"""What can be chosen in our own method."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.settings import Settings
from tag2mask.vit.settings import MapLayers
from tag2mask.vit.tap import OverLayers
from tag2mask.vit.vit import ClassAttention


class AttendedSettings(Settings):
    """Each class is read through its token's attention in the last ``attended_layers``.

    ``class_attention`` says whom class tokens see: ``all``; ``no_classes`` hides the other class tokens from them;
    ``readers`` also hides class tokens from everybody else.
    ``masking_ratio``, ``registers`` and ``pruning`` are TokenMasking's three ablations; ``gate_penalty`` goes with
    pruning.
    ``map_layers`` are the layers whose attention makes the maps: the last K, or a list of them counted from 1; None
    takes all. ``over_layers``: their ``mean``, or ``product``, the geometric mean. ``maps`` are that ``attention``
    alone, or each patch's ``contribution`` to the logit, A_c(m) max(w_c . x_m, 0).
    In the last ``cut`` blocks class tokens do not see each other in evaluation, however they were trained.
    """

    class_attention: ClassAttention = "all"
    masking_ratio: float = Field(0.5, ge=0, le=1)
    registers: int = Field(1, ge=0, le=1000)
    pruning: bool = False
    gate_penalty: float = Field(0.01, ge=0)
    attended_layers: int = Field(3, ge=1)
    map_layers: MapLayers = 3
    over_layers: OverLayers = "mean"
    cut: int = Field(0, ge=0)
    maps: Literal["contribution", "attention"] = "contribution"
