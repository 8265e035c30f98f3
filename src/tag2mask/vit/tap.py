"""Reading attention while a forward pass goes on, layer by layer, keeping only what was asked for.

Shapes: B batch, N tokens, D width, H heads, d head width, C classes, M patches, R rows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tag2mask.errors import SettingsError
from tag2mask.vit.settings import OverLayers
from tag2mask.vit.tokens import Tokens

EPS = 1e-9
SMALLEST = 1e-30  # attention in float32, below which its logarithm would be minus infinity


class Tap:
    """Class-to-patch rows of ``map_layers``, layer by layer; patch-to-patch rows summed over ``affinity_layers``.

    Heads are averaged with weights that ``head_weights`` makes of their evaluation gates: the gates themselves, so that
    closed heads do not count and a layer without an open head adds nothing. ``affinity_BMM`` is None until a layer was
    read; ``rows`` keeps ``(B, H, C, M)`` of every layer if ``per_head`` asks for it. ``wants_tokens`` keeps the class
    tokens ``(B, C, D)`` that leave every layer, ``wants_heads`` every layer's queries and keys, to make its attention
    again later, as ``peaks`` the largest outputs of its heads over all tokens ``(B, H, d)``, and as ``outputs`` those
    of the whole attention, after its projection ``(B, D)``. ``patches`` holds the patch tokens ``(B, M, D)`` that leave
    each of ``patch_layers``, counted from 0: from the residual stream; who wants them normalised applies ``ViT.norm``.
    ``leaf_layer`` cuts the graph before that layer: its input becomes ``leaf``.
    """

    def __init__(
        self,
        map_layers: frozenset[int] = frozenset(),
        affinity_layers: frozenset[int] = frozenset(),
        per_head: bool = False,
        wants_tokens: bool = False,
        wants_heads: bool = False,
        patch_layers: frozenset[int] = frozenset(),
        leaf_layer: int | None = None,
        head_weights: Callable[[Tensor], Tensor] = lambda gate_H: gate_H,
    ) -> None:
        self.map_layers = map_layers
        self.affinity_layers = affinity_layers
        self.per_head = per_head
        self.wants_tokens = wants_tokens
        self.wants_heads = wants_heads
        self.patch_layers = patch_layers
        self.leaf_layer = leaf_layer
        self.head_weights = head_weights
        self.layer_maps: dict[int, Tensor] = {}
        self.affinity_BMM: Tensor | None = None
        self.rows: dict[int, Tensor] = {}
        self.class_tokens: list[Tensor] = []
        self.projections: list[tuple[Tensor, Tensor, Tokens]] = []
        self.peaks: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.patches: dict[int, Tensor] = {}
        self.leaf: Tensor | None = None

    def read(self, layer: int, q: Tensor, k: Tensor, out: Tensor, gate_H: Tensor, tokens: Tokens) -> None:
        """Take what is wanted from one layer's ``(B, H, N, d)`` queries, keys and head outputs."""
        if self.wants_heads:
            self.projections.append((q.detach(), k.detach(), tokens))
            self.peaks.append(out.detach().amax(2))
        weight_H = self.head_weights(gate_H)
        weight_H = weight_H / weight_H.sum().clamp_min(EPS)
        if layer in self.map_layers:
            rows_BHCM = softmax_rows(q, k, slice(0, tokens.classes), tokens)
            if self.per_head:
                self.rows[layer] = rows_BHCM
            self.layer_maps[layer] = torch.einsum("bhcm,h->bcm", rows_BHCM, weight_H)
        if layer in self.affinity_layers:
            for head in weight_H.nonzero().flatten().tolist():
                one = slice(head, head + 1)
                rows_B1MM = softmax_rows(q[:, one], k[:, one], tokens.patch_slice, tokens) * weight_H[head]
                rows_BMM = rows_B1MM.squeeze(1)
                self.affinity_BMM = rows_BMM if self.affinity_BMM is None else self.affinity_BMM.add_(rows_BMM)

    def put_out(self, projected_BND: Tensor) -> None:
        """Take what leaves a layer's attention."""
        if self.wants_heads:
            self.outputs.append(projected_BND.detach().amax(1))

    def enter(self, layer: int, x_BND: Tensor) -> Tensor:
        """What goes into a layer."""
        if layer != self.leaf_layer:
            return x_BND
        self.leaf = x_BND.detach().requires_grad_()
        return self.leaf

    def leave(self, layer: int, x_BND: Tensor, tokens: Tokens) -> None:
        """Take what is wanted of the tokens that leave a layer."""
        if self.wants_tokens:
            self.class_tokens.append(x_BND[:, : tokens.classes])
        if layer in self.patch_layers:
            self.patches[layer] = x_BND[:, tokens.patch_slice]

    def class_maps(self, layers: frozenset[int], over_layers: OverLayers = "mean") -> Tensor:
        """Class-to-patch rows of these L layers as one, ``(B, C, M)``; layers without an open head add nothing.

        ``mean`` is their sum, ``product`` L times their geometric mean: the same where all layers agree.

        Raises:
            SettingsError: none of them has an open head.
        """
        rows_LBCM = torch.stack([self.layer_maps[layer] for layer in sorted(layers)])
        maps_BCM = rows_LBCM.sum(0) if over_layers == "mean" else len(layers) * geometric_mean(rows_LBCM)
        # A graph being exported holds no values to look at.
        if not torch.compiler.is_exporting() and not maps_BCM.any():
            raise SettingsError(f"no attention head is open in layers {sorted(layers)}: lower the gates' penalty")
        return maps_BCM


def geometric_mean(rows_LBCM: Tensor) -> Tensor:
    """(prod_l A_l)^(1/L) over the layers that hold anything; 0 if none does."""
    open_L111 = (rows_LBCM.amax((1, 2, 3), keepdim=True) > 0).to(rows_LBCM.dtype)
    logarithms_BCM = (open_L111 * rows_LBCM.clamp_min(SMALLEST).log()).sum(0) / open_L111.sum(0).clamp_min(1)
    return logarithms_BCM.exp() * open_L111.amax(0)


def softmax_rows(q: Tensor, k: Tensor, rows: slice, tokens: Tokens) -> Tensor:
    """Attention of the tokens ``rows`` on the patches, float32 ``(B, H, rows, M)``, after softmax over all tokens."""
    return attention_rows(q, k, rows, tokens)[..., tokens.patch_slice]


def attention_rows(q: Tensor, k: Tensor, rows: slice, tokens: Tokens) -> Tensor:
    """Attention of the tokens ``rows`` on all tokens, float32 ``(B, H, rows, N)``."""
    scores = (q[:, :, rows] @ k.transpose(-2, -1)).float() * q.shape[-1] ** -0.5
    if tokens.allowed_NN is not None:
        scores = scores.masked_fill(~tokens.allowed_NN[rows], float("-inf"))
    rows_BHRN: Tensor = scores.softmax(-1)
    return rows_BHRN
