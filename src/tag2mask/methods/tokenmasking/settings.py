"""What can be chosen in TokenMasking; each switch of the paper's Tables 4 to 6 is one setting."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.settings import Settings
from tag2mask.vit.vit import ClassAttention


class TokenMaskingSettings(Settings):
    """TokenMasking (ICCV 2025).

    ``head`` is how class tokens become logits: ``concat`` is the paper's linear layer over all tokens together,
    ``own`` one vector a class, ``shared`` one vector for all classes, ``mean`` MCTformer's mean over the width.
    ``final_norm`` reads the tokens after the backbone's last norm, otherwise from the raw residual stream.
    ``masking_ratio``, ``registers`` and ``pruning`` are the paper's three ablations.
    ``map_layers`` are the last K layers whose attention makes the maps; None takes all of them.
    """

    head: Literal["concat", "own", "shared", "mean"] = "shared"
    final_norm: bool = True
    class_attention: ClassAttention = "all"
    masking_ratio: float = Field(0.5, ge=0, le=1)
    registers: int = Field(1, ge=0)
    pruning: bool = True
    gate_penalty: float = Field(0.01, ge=0)
    token_noise: float = Field(0.02, ge=0)
    map_layers: int | None = Field(None, ge=1)
