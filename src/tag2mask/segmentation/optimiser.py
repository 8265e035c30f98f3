"""The optimiser of a segmenter: our AdamW, or WeakTr's SGD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tag2mask.segmentation.settings import SegmenterOptimiser
from tag2mask.training.schedule import poly


def optimiser_for(
    parameters_of: Mapping[str, list[nn.Parameter]], settings: SegmenterOptimiser
) -> torch.optim.Optimizer:
    """SGD or AdamW for ``"encoder"`` and ``"decoder"``, in groups that store their base rate as ``base``."""
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
    return torch.optim.AdamW(groups, settings.lr, betas=(settings.momentum, 0.999), fused=True)


def poly_rate(step: int, steps: int, settings: SegmenterOptimiser) -> float:
    """Factor on the base rates at ``step`` (from 0) of ``steps``: linear rise, then polynomial decay."""
    rise = round(settings.warmup * steps)
    if step < rise:
        return (step + 1) / rise
    return poly((step - rise) / max(steps - rise, 1), settings.power, settings.final)
