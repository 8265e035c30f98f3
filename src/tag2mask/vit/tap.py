"""Reading attention during a forward pass, layer by layer, keeping only what was requested.

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
    """Collects class-to-patch rows of ``map_layers`` and the sum of patch-to-patch rows over ``affinity_layers``.

    Heads are averaged. ``head_weights`` turns their evaluation gates into weights; by default the weights are the gates
    themselves, so closed heads do not count and a layer without an open head adds nothing.
    ``affinity_BMM`` is None until a layer was read. With ``per_head``, ``rows`` keeps ``(B, H, C, M)`` for each map
    layer. With ``wants_tokens``, ``class_tokens`` keeps the class tokens ``(B, C, D)`` after every layer.
    With ``wants_heads``, ``projections`` keeps every layer's queries and keys, from which its attention can be computed
    again, ``peaks`` the maximum of each head's output over all tokens ``(B, H, d)``, and ``outputs`` that of the whole
    attention after its projection ``(B, D)``.
    ``patches`` holds the patch tokens ``(B, M, D)`` after each of ``patch_layers``, counted from 0. They come from the
    residual stream; apply ``ViT.norm`` to normalise them.
    ``leaf_layer`` cuts the graph before that layer, whose input becomes ``leaf``.
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
        """Collect what is wanted from one layer's ``(B, H, N, d)`` queries, keys and head outputs."""
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
        """Collect the output of a layer's attention."""
        if self.wants_heads:
            self.outputs.append(projected_BND.detach().amax(1))

    def enter(self, layer: int, x_BND: Tensor) -> Tensor:
        """Return the input of a layer: ``x_BND``, or a new leaf of the graph."""
        if layer != self.leaf_layer:
            return x_BND
        self.leaf = x_BND.detach().requires_grad_()
        return self.leaf

    def leave(self, layer: int, x_BND: Tensor, tokens: Tokens) -> None:
        """Collect what is wanted from a layer's output tokens."""
        if self.wants_tokens:
            self.class_tokens.append(x_BND[:, : tokens.classes])
        if layer in self.patch_layers:
            self.patches[layer] = x_BND[:, tokens.patch_slice]

    def class_maps(self, layers: frozenset[int], over_layers: OverLayers = "mean") -> Tensor:
        """Combine the class-to-patch rows of these L layers, ``(B, C, M)``; layers without an open head add nothing.

        ``mean`` is their sum, ``product`` is L times their geometric mean; both are equal where all layers agree.

        Raises:
            SettingsError: no layer has an open head.
        """
        rows_LBCM = torch.stack([self.layer_maps[layer] for layer in sorted(layers)])
        maps_BCM = rows_LBCM.sum(0) if over_layers == "mean" else len(layers) * geometric_mean(rows_LBCM)
        # While a graph is exported, there are no values to check.
        if not torch.compiler.is_exporting() and not maps_BCM.any():
            raise SettingsError(f"no attention head is open in layers {sorted(layers)}: lower method.gate_penalty")
        return maps_BCM


def geometric_mean(rows_LBCM: Tensor) -> Tensor:
    """(prod_l A_l)^(1/L) over the layers that are not all 0; 0 if there are none."""
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
