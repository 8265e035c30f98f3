"""Settings of our own method."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.settings import Settings
from tag2mask.vit.settings import ClassAttention, MapLayers, OverLayers


class AttendedSettings(Settings):
    """Each class is read through its token's attention in the last ``attended_layers``.

    ``class_attention``: ``no_classes`` hides class tokens from each other; ``readers`` hides them from all other
    tokens as well.
    ``masking_ratio``, ``registers`` and ``pruning`` are the three ablations of TokenMasking.
    ``maps``: ``attention`` is the attention of ``map_layers`` alone; ``contribution`` is each patch's part of the
    logit, A_c(m) max(w_c . x_m, 0).
    """

    class_attention: ClassAttention = Field(
        "all", description="Hide class tokens from nobody, each other (no_classes) or all (readers)"
    )
    masking_ratio: float = Field(0.5, ge=0, le=1, description="Probability of masking the token of an absent class")
    registers: int = Field(1, ge=0, le=1000, description="Number of register tokens")
    pruning: bool = Field(False, description="Prune attention heads with learned gates")
    gate_penalty: float = Field(0.01, ge=0, description="Weight of the gate penalty, with pruning")
    attended_layers: int = Field(3, ge=1, description="Number of last layers whose attention reads the classes")
    map_layers: MapLayers = Field(
        3, description="Layers whose attention makes the maps: the last K, or a list counted from 1; null: all"
    )
    over_layers: OverLayers = Field("mean", description="Arithmetic mean over the layers, or geometric (product)")
    cut: int = Field(0, ge=0, description="Number of last blocks that hide class tokens from each other in evaluation")
    maps: Literal["contribution", "attention"] = Field(
        "contribution", description="Each patch's contribution to the logit, or its attention alone"
    )


class DynamicSettings(Settings):
    """Tokens for likely classes alone, which pass through the last ``attended_layers`` and are read there.

    ``maps``: as for ``AttendedSettings``.
    """

    sampled: int = Field(64, ge=1, description="Number of class tokens in a training step")
    shortlist: int = Field(20, ge=1, description="Number of class tokens for an image in evaluation")
    registers: int = Field(1, ge=0, le=1000, description="Number of register tokens")
    pruning: bool = Field(False, description="Prune attention heads with learned gates")
    gate_penalty: float = Field(0.01, ge=0, description="Weight of the gate penalty, with pruning")
    attended_layers: int = Field(3, ge=1, description="Number of last layers that class tokens pass and that read them")
    map_layers: MapLayers = Field(
        None, description="Layers whose attention makes the maps: the last K, or a list counted from 1; null: those"
    )
    over_layers: OverLayers = Field("mean", description="Arithmetic mean over the layers, or geometric (product)")
    maps: Literal["contribution", "attention"] = Field(
        "contribution", description="Each patch's contribution to the logit, or its attention alone"
    )
