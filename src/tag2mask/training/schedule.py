"""Learning rates over the steps of a run, and which parameter gets which."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

from torch import nn

from tag2mask.methods import Method
from tag2mask.training.settings import OptimiserSettings, ParameterKind

BLOCK = re.compile(r"\bblocks\.(\d+)\.")
EMBEDDING = re.compile(r"patch_embed|position|norm_pre")
PATCHES = re.compile(r"\bpatch_embed\.")
TOKEN = re.compile(r"\b(class_CD|registers|backbone_registers)$")
POSITION = re.compile(r"\bposition$")


def factor(step: int, steps: int, epochs: int, settings: OptimiserSettings) -> float:
    """Factor on the base rates at ``step`` (from 0) of ``steps``."""
    if settings.parity:
        return released(step * epochs // steps, epochs, settings)
    return rate(step, steps, settings)


def rate(step: int, steps: int, settings: OptimiserSettings) -> float:
    """A linear rise from ``start``, then a cosine down to ``final``."""
    rise = round(settings.warmup * steps)
    if step < rise:
        return settings.start + (1 - settings.start) * (step + 1) / rise
    progress = (step - rise) / max(steps - rise, 1)
    return cosine(progress, settings.final)


def released(epoch: int, epochs: int, settings: OptimiserSettings) -> float:
    """What MCTformer's and WeakTr's released code does in epoch ``epoch`` (from 0): one rate an epoch, two quirks.

    The rate is set after an epoch by that epoch's own index, so the first two both run at ``start``; and the cosine
    counts from the first epoch, not from the end of the warm-up, so the base rate is never reached.
    """
    behind = max(epoch - 1, 0)
    rise = round(settings.warmup * epochs)
    if behind < rise:
        return settings.start + (1 - settings.start) * behind / rise
    return cosine(behind / epochs, settings.final)


def cosine(progress: float, final: float) -> float:
    """From 1 to ``final`` as ``progress`` goes from 0 to 1."""
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def poly(progress: float, power: float, final: float = 0.0) -> float:
    """From 1 to ``final`` as ``progress`` goes from 0 to 1: (1 - final) (1 - progress)^power + final."""
    return final + (1 - final) * math.pow(1 - progress, power)


def parameter_groups(method: Method, settings: OptimiserSettings, fresh_patches: bool = False) -> list[dict[str, Any]]:
    """Groups for AdamW, each with its base rate as ``base``; a fresh patch embedding learns as fast as tokens."""
    rates = {
        "backbone": settings.lr_backbone,
        "tokens": settings.lr_tokens,
        "heads": settings.lr_heads or settings.lr_tokens,
        "gates": settings.lr_gates,
    }
    names = {id(parameter): name for name, parameter in method.named_parameters()}
    depth = depths(method)
    last = max(depth.values(), default=0)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for group, parameters in method.parameter_groups().items():
        for parameter in parameters:
            base = rates[group]
            if fresh_patches and PATCHES.search(names[id(parameter)]):
                base = settings.lr_tokens
            elif group == "backbone":
                base *= settings.layer_decay ** (last - depth.get(id(parameter), last))
            decays = kind(group, names[id(parameter)], parameter) in settings.decay
            groups.setdefault((base, settings.weight_decay * decays), []).append(parameter)
    return [
        {"params": parameters, "lr": base, "base": base, "weight_decay": decay}
        for (base, decay), parameters in groups.items()
    ]


def kind(group: str, name: str, parameter: nn.Parameter) -> ParameterKind | Literal["gates"]:
    """What a parameter is to the weight decay."""
    if group == "gates":
        return "gates"
    if TOKEN.search(name):
        return "tokens"
    if POSITION.search(name):
        return "positions"
    if parameter.ndim < 2:
        return "vectors"
    return "backbone" if group == "backbone" else "heads"


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
