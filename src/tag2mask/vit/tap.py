"""Reading attention while a forward pass goes on, layer by layer, keeping only what was asked for.

Shapes: B batch, N tokens, H heads, d head width, C classes, M patches, R rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tag2mask.vit.attention import Pass


class Tap:
    """Sums over chosen layers: class-to-patch rows for ``maps``, patch-to-patch rows for ``affinity``.

    Heads are averaged with their evaluation gates as weights, so closed heads do not count and a layer without an open
    head is left out. ``maps_BCM`` and ``affinity_BMM`` are sums over layers; None until a layer was read.
    ``rows`` keeps ``(B, H, C, M)`` of every layer if ``per_head`` asks for it.
    """

    def __init__(
        self, map_layers: frozenset[int], affinity_layers: frozenset[int] = frozenset(), per_head: bool = False
    ) -> None:
        self.map_layers = map_layers
        self.affinity_layers = affinity_layers
        self.per_head = per_head
        self.maps_BCM: Tensor | None = None
        self.affinity_BMM: Tensor | None = None
        self.rows: dict[int, Tensor] = {}

    def read(self, layer: int, q: Tensor, k: Tensor, gate_H: Tensor, passing: Pass) -> None:
        """Take what is wanted from one layer's ``(B, H, N, d)`` queries and keys."""
        total = gate_H.sum()
        if total <= 0:
            return
        weight_H = gate_H / total
        tokens = passing.tokens
        if layer in self.map_layers:
            rows_BHCM = softmax_rows(q, k, slice(0, tokens.classes), passing)
            if self.per_head:
                self.rows[layer] = rows_BHCM
            mean_BCM = torch.einsum("bhcm,h->bcm", rows_BHCM, weight_H)
            self.maps_BCM = mean_BCM if self.maps_BCM is None else self.maps_BCM + mean_BCM
        if layer in self.affinity_layers:
            for head in weight_H.nonzero().flatten().tolist():
                one = slice(head, head + 1)
                rows_B1MM = softmax_rows(q[:, one], k[:, one], tokens.patch_slice, passing) * weight_H[head]
                rows_BMM = rows_B1MM.squeeze(1)
                self.affinity_BMM = rows_BMM if self.affinity_BMM is None else self.affinity_BMM.add_(rows_BMM)

    def maps(self, grid: tuple[int, int]) -> Tensor | None:
        """Class maps ``(B, C, h, w)``; None where no layer with an open head was read."""
        return None if self.maps_BCM is None else self.maps_BCM.reshape(*self.maps_BCM.shape[:2], *grid)


def softmax_rows(q: Tensor, k: Tensor, rows: slice, passing: Pass) -> Tensor:
    """Attention of the tokens ``rows`` on the patches, float32 ``(B, H, rows, M)``, after softmax over all tokens."""
    scores = (q[:, :, rows] @ k.transpose(-2, -1)).float() * q.shape[-1] ** -0.5
    if passing.allowed_NN is not None:
        scores = scores.masked_fill(~passing.allowed_NN[rows], float("-inf"))
    rows_BHRM: Tensor = scores.softmax(-1)[..., passing.tokens.patch_slice]
    return rows_BHRM
