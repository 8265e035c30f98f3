"""Learning rates over the steps of a run, and which parameter gets which."""

from __future__ import annotations

import math
import re
from typing import Any

from torch import nn

from tag2mask.methods import Method
from tag2mask.training.settings import OptimiserSettings

BLOCK = re.compile(r"\bblocks\.(\d+)\.")
EMBEDDING = re.compile(r"patch_embed|position|norm_pre")


def rate(step: int, steps: int, settings: OptimiserSettings) -> float:
    """Factor on the base rates at ``step`` (from 0) of ``steps``: a linear rise, then a cosine down to ``final``."""
    rise = round(settings.warmup * steps)
    if step < rise:
        return (step + 1) / rise
    progress = (step - rise) / max(steps - rise, 1)
    return settings.final + (1 - settings.final) * 0.5 * (1 + math.cos(math.pi * progress))


def parameter_groups(method: Method, settings: OptimiserSettings) -> list[dict[str, Any]]:
    """Groups for AdamW, each with its base rate as ``base``. Decay only on the backbone's matrices."""
    rates = {"backbone": settings.lr_backbone, "tokens": settings.lr_tokens, "gates": settings.lr_gates}
    depth = depths(method)
    last = max(depth.values(), default=0)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameters in method.parameter_groups().items():
        for parameter in parameters:
            backbone = name == "backbone"
            base = rates[name]
            if backbone:
                base *= settings.layer_decay ** (last - depth.get(id(parameter), last))
            decay = settings.weight_decay if backbone and parameter.ndim in (2, 4) else 0.0
            groups.setdefault((base, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": base, "base": base, "weight_decay": decay}
        for (base, decay), parameters in groups.items()
    ]


def depths(method: nn.Module) -> dict[int, int]:
    """Layer of each parameter by identity: 0 the embeddings, 1 the first block, and so on; others are not there."""
    found: dict[int, int] = {}
    for name, parameter in method.named_parameters():
        block = BLOCK.search(name)
        if block:
            found[id(parameter)] = int(block[1]) + 1
        elif EMBEDDING.search(name):
            found[id(parameter)] = 0
    return found
