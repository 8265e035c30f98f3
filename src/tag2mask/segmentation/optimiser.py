"""How a segmenter's weights move: our AdamW, or WeakTr's SGD."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from tag2mask.settings import Rate, Settings
from tag2mask.training.schedule import poly

OPTIMISERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # Ours: few steps on few images, a pretrained encoder that small rates suit best.
        "adamw": {
            "lr": 3e-4,
            "encoder": 0.04,
            "momentum": 0.9,
            "weight_decay": 0.05,
            "final": 0.01,
            "warmup": 0.05,
            "clip": 5.0,
        },
        # WeakTr's, with Nesterov's momentum.
        "sgd": {
            "lr": 1e-4,
            "encoder": 0.1,
            "momentum": 0.9,
            "weight_decay": 0.0,
            "final": 0.1,
            "warmup": 0.0,
            "clip": None,
        },
    }
)


class SegmenterOptimiser(Settings):
    """How the weights move; what is not given is the ``kind``'s own.

    ``lr`` is the decoder's rate, the encoder's is ``encoder`` times that. Both rise over the share ``warmup`` of all
    steps, then fall to ``final``, a share too, by (1 - final) (1 - t)^power + final. ``weight_decay`` is for matrices.
    """

    kind: Literal["adamw", "sgd"] = "adamw"
    lr: Rate
    encoder: float = Field(ge=0, le=100)
    momentum: float = Field(ge=0, lt=1, description="Nesterov's with sgd, AdamW's first beta")
    weight_decay: float = Field(ge=0, le=100)
    power: float = Field(0.9, ge=0)
    final: float = Field(ge=0, le=1)
    warmup: float = Field(ge=0, lt=1)
    clip: float | None = Field(gt=0, description="largest gradient norm")

    @model_validator(mode="before")
    @classmethod
    def of_its_kind(cls, values: Any) -> Any:
        """Fill in what the kind says."""
        if not isinstance(values, dict):
            return values
        return {**OPTIMISERS.get(values.get("kind", "adamw"), {}), **values}


def optimiser_for(
    parameters_of: Mapping[str, list[nn.Parameter]], settings: SegmenterOptimiser
) -> torch.optim.Optimizer:
    """SGD or AdamW for ``"encoder"`` and ``"decoder"``, in groups that each know their base rate as ``base``."""
    groups: list[dict[str, Any]] = []
    for name, parameters in parameters_of.items():
        base = settings.lr * (settings.encoder if name == "encoder" else 1.0)
        for matrices in (True, False):
            chosen = [parameter for parameter in parameters if (parameter.ndim > 1) == matrices]
            decay = settings.weight_decay if matrices else 0.0
            groups.append({"params": chosen, "lr": base, "base": base, "weight_decay": decay})
    groups = [group for group in groups if group["params"]]
    if settings.kind == "sgd":
        return torch.optim.SGD(groups, settings.lr, momentum=settings.momentum, nesterov=settings.momentum > 0)
    return torch.optim.AdamW(groups, settings.lr, betas=(settings.momentum, 0.999))


def rate(step: int, steps: int, settings: SegmenterOptimiser) -> float:
    """On the base rates at ``step`` (from 0) of ``steps``: a linear rise, then a power of what is left."""
    rise = round(settings.warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return poly((step - rise) / max(steps - rise, 1), settings.power, settings.final)
