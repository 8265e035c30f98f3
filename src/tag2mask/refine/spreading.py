"""Patch affinity: each patch collects the maps of the patches it attends to, weighted by attention.

Shapes: B batch, C classes, M patches, h w patch grid.
"""

from __future__ import annotations

from torch import Tensor

from tag2mask.methods import Evidence


def affinity(evidence: Evidence, maps_BChw: Tensor) -> Tensor:
    """Refined(i) = sum_k P(i, k) map(k) with patch affinity P summed over all layers (MCTformer, CVPR 2022)."""
    assert evidence.affinity_BMM is not None
    return spread_by_affinity(maps_BChw, evidence.affinity_BMM)


def spread_by_affinity(maps_BChw: Tensor, affinity_BMM: Tensor) -> Tensor:
    """Multiply maps by the affinity, whose row i holds the weights of the source patches of patch i."""
    return (affinity_BMM @ maps_BChw.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(maps_BChw.shape)
