"""What can be chosen in TokenMasking; each switch of the paper's Tables 4 to 6 is one setting."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.settings import Settings
from tag2mask.vit.gates import OPEN_AT_START
from tag2mask.vit.settings import MapLayers
from tag2mask.vit.tap import OverLayers
from tag2mask.vit.vit import ClassAttention


class TokenMaskingSettings(Settings):
    """TokenMasking (ICCV 2025).

    ``reads`` is what stands for a class at the head: its ``token``, as in the paper, or ``attended``, the patches its
    token attends to in the last ``attended_layers``, weighted by that very attention.
    ``head`` is how that becomes a logit: ``concat`` is the paper's linear layer over all classes together,
    ``per_token`` a vector of its own for every class, ``shared`` one vector for all, ``mean`` the mean over the width.
    ``final_norm`` reads after the backbone's last norm, otherwise from the raw residual stream.
    ``masking_ratio``, ``registers`` and ``pruning`` are the paper's three ablations.
    ``map_layers`` are the layers whose attention makes the maps: the last K, or a list of them counted from 1; None
    takes all. ``over_layers``: their ``mean``, or ``product``, the geometric mean. ``maps`` are that ``attention``
    alone, or each patch's ``contribution`` to the logit, A_c(m) max(w_c . x_m, 0).
    In the last ``cut`` blocks class tokens do not see each other in evaluation, however they were trained.
    ``heads`` that count in the maps: those whose gate is ``open``, by their gates, or ``all`` alike.
    ``gates`` are ``soft``, as their penalty assumes, or ``hard``: 0 or 1 with the soft gate's gradient. They start at
    ``gate_start``, their log alpha; ``xavier`` draws it, and about half of all heads start closed.
    """

    reads: Literal["attended", "token"] = "attended"
    head: Literal["concat", "per_token", "shared", "mean"] = "per_token"
    final_norm: bool = True
    class_attention: ClassAttention = "all"
    masking_ratio: float = Field(0.5, ge=0, le=1)
    registers: int = Field(1, ge=0, le=1000)
    pruning: bool = False
    gate_penalty: float = Field(0.01, ge=0)
    gates: Literal["soft", "hard"] = "soft"
    gate_start: float | Literal["xavier"] = OPEN_AT_START
    token_noise: float = Field(0.02, ge=0)
    attended_layers: int = Field(3, ge=1)
    map_layers: MapLayers = 3
    over_layers: OverLayers = "mean"
    cut: int = Field(0, ge=0)
    maps: Literal["contribution", "attention"] = "contribution"
    heads: Literal["open", "all"] = "open"
