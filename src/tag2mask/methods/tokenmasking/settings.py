"""Settings of TokenMasking: the paper's ablations, and choices that the paper leaves open."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.settings import Settings
from tag2mask.vit.gates import OPEN_AT_START
from tag2mask.vit.settings import MapLayers


class TokenMaskingSettings(Settings):
    """Settings of TokenMasking (ICCV 2025).

    ``masking_ratio``, ``registers`` and ``pruning`` are the ablations of the paper's Tables 4 to 6.
    ``gates``: ``soft`` as their penalty assumes, or ``hard``: 0 or 1 with the soft gate's gradient. With
    ``gate_start: xavier`` about half of all heads start closed.
    ``head``: ``concat`` is one linear layer over all class tokens, whose size grows with the square of the number of
    classes; ``per_token`` has one vector per class and suits more than 40 classes.
    """

    masking_ratio: float = Field(0.5, ge=0, le=1, description="Probability of masking the token of an absent class")
    registers: int = Field(1, ge=0, le=1000, description="Number of register tokens")
    pruning: bool = Field(True, description="Prune attention heads with learned gates")
    gate_penalty: float = Field(0.01, ge=0, description="Weight of the gate penalty, the paper's lambda")
    gates: Literal["soft", "hard"] = Field(
        "soft", description="Gates in training: from 0 to 1 (soft), or 0 or 1 (hard)"
    )
    gate_start: float | Literal["xavier"] = Field(OPEN_AT_START, description="Initial log alpha of the gates")
    head: Literal["concat", "per_token"] = Field(
        "concat", description="One linear layer over all class tokens, or one vector per token"
    )
    final_norm: bool = Field(True, description="Read class tokens after the backbone's final norm")
    map_layers: MapLayers = Field(
        None, description="Layers whose attention makes the maps: the last K, or a list counted from 1 [all]"
    )
    heads: Literal["open", "all"] = Field("open", description="Weight heads in the maps by their gates, or all equally")
