"""What a parameter is to the optimiser, declared by whoever owns it."""

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
    """Parameters that are alike to the optimiser.

    ``rate`` names their learning rate: ``backbone`` (pretrained), ``tokens`` (new tokens and heads), ``heads`` (heads
    that may start warm) or ``gates``. ``kind`` is what weight decay asks for. ``layer`` counts for layer decay: 0 the
    embeddings, 1 the first block, and so on; None is as near the output as the last block. ``patches`` marks the patch
    embedding: where it is fresh it learns at the tokens' rate.
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
    """Groups of ``parameters`` in their order, vectors (biases, norms) apart from ``matrices``."""
    return [
        ParameterGroup(rate, "vectors" if vectors else matrices, layer, tuple(run), patches)
        for vectors, run in groupby(parameters, lambda parameter: parameter.ndim < 2)
    ]
