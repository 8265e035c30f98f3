"""Parameter groups for the optimiser, declared by the modules that own the parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from torch import nn

from tag2mask.vit.settings import DecayKind

RateName = Literal["backbone", "tokens", "heads", "gates"]
ParameterKind = DecayKind | Literal["gates"]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that the optimiser treats alike.

    ``rate`` names their learning rate: ``backbone`` (pretrained), ``tokens`` (new tokens and heads), ``heads`` (heads
    that may start warm) or ``gates``. ``kind`` selects the weight decay. ``layer`` is the depth for layer decay: 0 for
    the embeddings, 1 for the first block, and so on; None counts as the last block. ``patches`` marks the patch
    embedding, which learns at the tokens' rate if it is fresh.
    """

    rate: RateName
    kind: ParameterKind
    layer: int | None
    parameters: tuple[nn.Parameter, ...]
    patches: bool = False


def group_parameters(
    parameters: Iterable[nn.Parameter],
    rate: RateName,
    matrices: ParameterKind,
    layer: int | None = None,
    patches: bool = False,
) -> list[ParameterGroup]:
    """Split ``parameters`` into groups, in order; vectors (biases, norms) are separate from ``matrices``."""
    return [
        ParameterGroup(rate, "vectors" if vectors else matrices, layer, tuple(run), patches)
        for vectors, run in groupby(parameters, lambda parameter: parameter.ndim < 2)
    ]
