"""Learning rate schedules, and the optimiser's groups made from declared parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from tag2mask.training.settings import OptimiserSettings
from tag2mask.vit.groups import ParameterGroup, RateName

RATES: tuple[RateName, ...] = ("backbone", "tokens", "heads", "gates")  # the order of states on disk


def factor(step: int, steps: int, epochs: int, settings: OptimiserSettings) -> float:
    """Factor on the base learning rates at ``step`` (from 0) of ``steps``."""
    if settings.parity:
        return released_rate(step * epochs // steps, epochs, settings)
    return cosine_rate(step, steps, settings)


def cosine_rate(step: int, steps: int, settings: OptimiserSettings) -> float:
    """Linear rise from ``start``, then cosine decay to ``final``."""
    rise = round(settings.warmup * steps)
    if step < rise:
        return settings.start + (1 - settings.start) * (step + 1) / rise
    progress = (step - rise) / max(steps - rise, 1)
    return cosine(progress, settings.final)


def released_rate(epoch: int, epochs: int, settings: OptimiserSettings) -> float:
    """Schedule of MCTformer's and WeakTr's released code in epoch ``epoch`` (from 0): one rate per epoch, two quirks.

    The rate is set after an epoch from that epoch's index, so the first two epochs both run at ``start``. The cosine
    counts from the first epoch, not from the end of the warm-up, so the base rate is never reached.
    """
    behind = max(epoch - 1, 0)
    rise = round(settings.warmup * epochs)
    if behind < rise:
        return settings.start + (1 - settings.start) * behind / rise
    return cosine(behind / epochs, settings.final)


def cosine(progress: float, final: float) -> float:
    """Fall from 1 to ``final`` along a cosine as ``progress`` goes from 0 to 1."""
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def poly(progress: float, power: float, final: float = 0.0) -> float:
    """Fall from 1 to ``final`` as ``progress`` goes from 0 to 1: (1 - final) (1 - progress)^power + final."""
    return final + (1 - final) * math.pow(1 - progress, power)


def optimiser_groups(
    declared: Sequence[ParameterGroup], settings: OptimiserSettings, fresh_patches: bool = False
) -> list[dict[str, Any]]:
    """Groups for AdamW, each with its base rate as ``base``; a fresh patch embedding gets the tokens' rate."""
    last = max((group.layer for group in declared if group.layer is not None), default=0)
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for group in sorted(declared, key=lambda group: RATES.index(group.rate)):
        if group.parameters:
            base = base_rate(group, settings, last, fresh_patches)
            decay = settings.weight_decay * (group.kind in settings.decay)
            found.setdefault((base, decay), []).extend(group.parameters)
    return [
        {"params": parameters, "lr": base, "base": base, "weight_decay": decay}
        for (base, decay), parameters in found.items()
    ]


def base_rate(group: ParameterGroup, settings: OptimiserSettings, last: int, fresh_patches: bool) -> float:
    """Learning rate of a group before any schedule; the backbone's decays with every layer below ``last``."""
    if group.patches and fresh_patches:
        return settings.lr_tokens
    match group.rate:
        case "tokens":
            return settings.lr_tokens
        case "heads":
            return settings.lr_heads or settings.lr_tokens
        case "gates":
            return settings.lr_gates
        case "backbone":
            below = 0 if group.layer is None else last - group.layer
            return settings.lr_backbone * settings.layer_decay**below
