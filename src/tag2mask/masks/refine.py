"""Spreading class maps. A new refiner is a function here and a line in ``REFINERS``.

Shapes: B batch, C classes, M patches, h w patch grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor

from tag2mask.methods import Ask, Evidence


def keep(evidence: Evidence) -> Tensor:
    """The class maps as they are, ``(B, C, h, w)``."""
    assert evidence.maps_BChw is not None
    return evidence.maps_BChw


def affinity(evidence: Evidence) -> Tensor:
    """Refined(i) = sum_k P(i, k) map(k) with patch affinity P summed over all layers (MCTformer)."""
    assert evidence.affinity_BMM is not None
    maps_BChw = keep(evidence)
    return spread(maps_BChw, evidence.affinity_BMM)


def spread(maps_BChw: Tensor, affinity_BMM: Tensor) -> Tensor:
    """Row i of the affinity weighs the source patches of patch i."""
    return (affinity_BMM @ maps_BChw.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(maps_BChw.shape)


REFINERS: Mapping[str, tuple[Callable[[Evidence], Tensor], Ask]] = MappingProxyType(
    {"none": (keep, Ask(maps=True)), "affinity": (affinity, Ask(maps=True, affinity=True))}
)
