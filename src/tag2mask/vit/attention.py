"""Self-attention of a timm block, rewritten so that heads can be gated and selected attention rows can be read.

The forward pass uses fused attention. Requested rows are recomputed from the same queries and keys, one layer at a
time, so the full attention map of more than one head is never in memory.

Shapes: B batch, N tokens, D width, H heads, d head width, C classes, M patches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from timm.layers.attention import Attention, AttentionRope
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from timm.models.eva import EvaAttention
from torch import Tensor, nn

from tag2mask.errors import SettingsError
from tag2mask.vit.gates import FixedGates, HardConcrete
from tag2mask.vit.tap import Tap
from tag2mask.vit.tokens import Tokens


@dataclass(frozen=True)
class Pass:
    """What a forward pass hands to the attention of block ``layer``, through the ``attn_mask`` of timm's blocks."""

    tokens: Tokens
    tap: Tap | None
    layer: int


class GatedAttention(nn.Module):
    """Attention with the weights of a timm attention module, one gate per head, and a tap.

    Gating a head's output is the same as gating its attention matrix, (gA)V = g(AV); TokenMasking:
    MSA = concat(g_i h_i) W_O.
    """

    def __init__(self, source: nn.Module, gate: Callable[[int], HardConcrete] | None) -> None:
        """Take over the weights of ``source``; ``gate`` creates the gates for a number of heads.

        Raises:
            SettingsError: ``source`` is not plain attention, or shares keys between heads.
        """
        super().__init__()
        if isinstance(source, GatedAttention):
            raise SettingsError("this timm model already belongs to a method, which took it over; pass a fresh model")
        if not isinstance(source, Attention | AttentionRope | EvaAttention):
            raise SettingsError(f"attention of type {type(source).__name__} is not plain self-attention")
        self.heads = source.num_heads
        self.kept = list(range(self.heads))  # indices of these heads in the backbone
        self.head_width = source.head_dim
        self.rotate_half = isinstance(source, AttentionRope | EvaAttention) and source.rotate_half
        self.qkv = joint_projection(source)
        self.q_norm, self.k_norm, self.norm = source.q_norm, source.k_norm, source.norm
        self.token_gate = source.gate
        self.proj, self.proj_drop = source.proj, source.proj_drop
        self.gate: HardConcrete | FixedGates | None = None if gate is None else gate(self.heads)

    def forward(self, x_BND: Tensor, attn_mask: Pass, rope: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """``(B, N, D)`` to ``(B, N, D)``; passes queries, keys and outputs to the tap."""
        q, k, v = self.project(x_BND, attn_mask.tokens, rope)
        out = attend(q, k, v, attn_mask.tokens.allowed_NN, explicit=self.training and x_BND.device.type == "cpu")
        if self.gate is not None:
            gate_H = self.gate()
            out = out * gate_H.to(out.dtype).view(1, -1, 1, 1)
        if attn_mask.tap is not None:
            attn_mask.tap.read(attn_mask.layer, q, k, out, self.evaluation_gate(x_BND), attn_mask.tokens)
        out = self.norm(out.transpose(1, 2).flatten(2))
        if self.token_gate is not None:
            out = out * self.token_gate(x_BND).sigmoid()
        projected: Tensor = self.proj_drop(self.proj(out))
        if attn_mask.tap is not None:
            attn_mask.tap.put_out(projected)
        return projected

    def project(self, x_BND: Tensor, tokens: Tokens, rope: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each ``(B, H, N, d)``; only patches get rotary positions."""
        B, N, _ = x_BND.shape
        qkv = self.qkv(x_BND).view(B, N, 3, self.heads, self.head_width).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        if rope is not None:
            q = self.rotate(q, tokens, rope)
            k = self.rotate(k, tokens, rope)
        return q.to(v.dtype), k.to(v.dtype), v

    def rotate(self, x: Tensor, tokens: Tokens, rope: Tensor) -> Tensor:
        """Rotate the patches of ``(B, H, N, d)``; other tokens have no position."""
        end = tokens.first + tokens.patches
        turned = apply_rot_embed_cat(x[:, :, tokens.patch_slice], rope, half=self.rotate_half)
        return torch.cat([x[:, :, : tokens.first], turned, x[:, :, end:]], 2)

    def evaluation_gate(self, like: Tensor) -> Tensor:
        """Weight of each head in evaluation, ``(H,)``; all 1 without gates."""
        if self.gate is None:
            return like.new_ones(self.heads, dtype=torch.promote_types(like.dtype, torch.float32))
        return self.gate.evaluation_gate().detach()

    @torch.no_grad()
    def prune(self) -> None:
        """Remove closed heads from the weights. If all are closed, one stays, with a gate of 0.

        Blocks that normalise across heads keep them all, since removing one would change the others.
        """
        if self.gate is None or not isinstance(self.norm, nn.Identity):
            return
        gate_H = self.gate.evaluation_gate()
        keep = gate_H.nonzero().flatten().tolist() or [0]
        rows = torch.cat([torch.arange(self.head_width) + head * self.head_width for head in keep]).to(gate_H.device)
        width = self.heads * self.head_width
        self.qkv = select_rows(self.qkv, torch.cat([rows, rows + width, rows + 2 * width]))
        if self.token_gate is not None:
            self.token_gate = select_rows(self.token_gate, rows)
        self.proj = linear(self.proj.weight[:, rows], self.proj.bias)
        self.heads, self.kept = len(keep), [self.kept[head] for head in keep]
        self.gate = FixedGates(gate_H[keep].detach().clone())


def attend(q: Tensor, k: Tensor, v: Tensor, allowed_NN: Tensor | None, explicit: bool) -> Tensor:
    """Softmax attention, fused or written out; in half precision on a CPU, training is faster written out."""
    if not explicit or q.dtype == torch.float32:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=allowed_NN)
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    if allowed_NN is not None:
        scores = scores.masked_fill(~allowed_NN, float("-inf"))
    out: Tensor = scores.softmax(-1).to(v.dtype) @ v
    return out


def joint_projection(source: Attention | AttentionRope | EvaAttention) -> nn.Linear:
    """One linear layer for queries, keys and values, however ``source`` splits them.

    Raises:
        SettingsError: keys and values are shared between heads.
    """
    if isinstance(source, Attention):
        return source.qkv
    if source.qkv is None:
        parts = [source.q_proj, source.k_proj, source.v_proj]
        if len({part.weight.shape for part in parts}) > 1:
            raise SettingsError("grouped-query attention is not supported: every head needs its own keys")
        bias = None
        if any(part.bias is not None for part in parts):
            bias = torch.cat([torch.zeros(len(p.weight)) if p.bias is None else p.bias.detach() for p in parts])
        return linear(torch.cat([part.weight for part in parts]), bias)
    if isinstance(source, EvaAttention) and source.q_bias is not None and source.v_bias is not None:
        no_key_bias = torch.zeros_like(source.q_bias)
        return linear(source.qkv.weight, torch.cat([source.q_bias, no_key_bias, source.v_bias]))
    return source.qkv


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a linear layer with copies of these weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer


def select_rows(layer: nn.Linear, rows: Tensor) -> nn.Linear:
    """Return a linear layer with only the outputs ``rows``."""
    return linear(layer.weight[rows], None if layer.bias is None else layer.bias[rows])
