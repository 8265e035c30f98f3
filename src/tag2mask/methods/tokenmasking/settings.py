"""What can be chosen in TokenMasking: the paper's ablations, and what the paper leaves open."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.settings import Settings
from tag2mask.vit.gates import OPEN_AT_START
from tag2mask.vit.settings import MapLayers


class TokenMaskingSettings(Settings):
    """TokenMasking (ICCV 2025). ``masking_ratio``, ``registers`` and ``pruning`` are the paper's Tables 4 to 6.

    ``gate_penalty`` is the paper's lambda.
    ``gates`` are ``soft``, as their penalty assumes, or ``hard``: 0 or 1 with the soft gate's gradient. They start at
    ``gate_start``, their log alpha; ``xavier`` draws it, and about half of all heads start closed.
    ``head`` makes logits of class tokens: ``concat`` is one linear layer over all of them together, which grows with
    the square of the classes; ``per_token`` has a vector of its own for each class and suits more than 40 classes.
    ``final_norm`` reads class tokens after the backbone's last norm, otherwise from the raw residual stream.
    ``map_layers`` are the layers whose attention makes the maps: the last K, or a list of them counted from 1; None
    takes all. ``heads`` that count in the maps: those whose gate is ``open``, by their gates, or ``all`` alike.
    """

    masking_ratio: float = Field(0.5, ge=0, le=1)
    registers: int = Field(1, ge=0, le=1000)
    pruning: bool = True
    gate_penalty: float = Field(0.01, ge=0)
    gates: Literal["soft", "hard"] = "soft"
    gate_start: float | Literal["xavier"] = OPEN_AT_START
    head: Literal["concat", "per_token"] = "concat"
    final_norm: bool = True
    map_layers: MapLayers = None
    heads: Literal["open", "all"] = "open"
