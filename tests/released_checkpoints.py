"""Checkpoints as MCTformer's and WeakTr's authors released them, small, and what they compute, in plain torch.

Names and shapes are DeiT's and the published ones; the layers that no page names have names of the test's own.
Shapes: B batch, C classes, D width, H heads, L layers, M patches, N tokens.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

C, D, L, P, SIDE = 3, 128, 4, 8, 4
H = D // 64
State = dict[str, Tensor]


def checkpoint(method: str, classes: int = C) -> State:
    """Random weights of the published layout."""
    draw = torch.Generator().manual_seed(0)

    def random(*shape: int, scale: float = 0.1) -> Tensor:
        return scale * torch.randn(*shape, generator=draw)

    state = {"cls_token": random(1, classes, D), "patch_embed.proj.weight": random(D, 3, P, P)}
    state["patch_embed.proj.bias"] = random(D)
    if method == "mctformer-plus":
        state |= {"pos_embed_cls": random(1, classes, D), "pos_embed_pat": random(1, SIDE**2, D)}
    else:
        state["pos_embed"] = random(1, classes + SIDE**2, D)
    for block in range(L):
        for norm in ("norm1", "norm2"):
            state[f"blocks.{block}.{norm}.weight"] = 1 + random(D)
            state[f"blocks.{block}.{norm}.bias"] = random(D)
        for name, out, into in (
            ("attn.qkv", 3 * D, D),
            ("attn.proj", D, D),
            ("mlp.fc1", 4 * D, D),
            ("mlp.fc2", D, 4 * D),
        ):
            state[f"blocks.{block}.{name}.weight"] = random(out, into)
            state[f"blocks.{block}.{name}.bias"] = random(out)
    state |= {"norm.weight": 1 + random(D), "norm.bias": random(D)}  # nothing reads it
    if method == "mctformer-v1":
        return state | {"head.weight": random(classes, D), "head.bias": random(classes)}  # nothing reads it
    state |= {"head.weight": random(classes, D, 3, 3), "head.bias": random(classes)}
    if method == "weaktr":
        state |= {"own.one.weight": random(8, 64, scale=1.0), "own.one.bias": random(8)}
        state |= {"own.two.weight": random(1, 8, scale=1.0), "own.two.bias": random(1)}
        state |= {"own.three.weight": random(H * L // 8, H * L, scale=1.0)}
        state |= {"own.four.weight": random(H * L, H * L // 8, scale=1.0)}
    return state


def save(state: State, path: Path) -> Path:
    """With what a training script keeps beside the weights."""
    beside = {"optimizer": {"state": {}, "param_groups": []}, "epoch": 59, "args": argparse.Namespace(lr=6e-4, aa="m9")}
    torch.save({"model": state, **beside}, path)
    return path


@dataclass
class Computed:
    """Logits ``(B, C)`` by name, class maps ``(B, C, h, w)`` and the affinity ``(B, M, M)``."""

    logits: dict[str, Tensor]
    maps_BChw: Tensor
    affinity_BMM: Tensor


def compute(method: str, state: State, images: Tensor) -> Computed:
    """The published formulas, one after the other, on attention that is kept whole."""
    grid = (images.shape[2] // P, images.shape[3] // P)
    x_BND, attention, outputs = transformer(state, images, grid)
    class_BC = x_BND[:, :C].mean(-1)
    if method == "mctformer-v1":
        rows = sum(A.mean(1)[:, :C, C:] for A in attention[-3:])
        return Computed({"class_tokens": class_BC}, rows.unflatten(2, grid), plain_affinity(attention))
    patch_BDhw = x_BND[:, C:].transpose(1, 2).unflatten(2, grid)
    F_BChw = F.conv2d(patch_BDhw, state["head.weight"], state["head.bias"], padding=1)
    if method == "weaktr":
        return weaktr(state, class_BC, F_BChw, attention, outputs)
    mean_of = attention if method == "mctformer-plus" else attention[-3:]
    S_BChw = sum(A.mean(1)[:, :C, C:] for A in mean_of).unflatten(2, grid)
    if method == "mctformer-v2":
        logits = {"class_tokens": class_BC, "patches": F_BChw.mean((2, 3))}
        return Computed(logits, S_BChw * F_BChw.relu(), plain_affinity(attention))
    ranked, weight = F_BChw.flatten(2).sort(-1, descending=True).values, 0.996 ** torch.arange(grid[0] * grid[1])
    logits = {"class_tokens": class_BC, "patches": (ranked * weight).sum(-1) / weight.sum()}
    return Computed(logits, (S_BChw / L * F_BChw.relu()).sqrt(), plain_affinity(attention))


def transformer(state: State, images: Tensor, grid: tuple[int, int]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Tokens after the last block, and of each the attention ``(B, H, N, N)`` and its projected output."""
    patch_BMD = F.conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=P)
    position_ND = positions(state, grid)
    token_BCD = state["cls_token"].expand(len(images), -1, -1)
    x_BND = torch.cat([token_BCD, patch_BMD.flatten(2).transpose(1, 2)], 1) + position_ND
    attention, outputs = [], []
    for block in range(L):
        own = {
            name.removeprefix(f"blocks.{block}."): value for name, value in state.items() if f"blocks.{block}." in name
        }
        normed = F.layer_norm(x_BND, (D,), own["norm1.weight"], own["norm1.bias"], 1e-6)
        q, k, v = F.linear(normed, own["attn.qkv.weight"], own["attn.qkv.bias"]).unflatten(2, (3, H, 64)).unbind(2)
        A_BHNN = torch.einsum("bnhd,bmhd->bhnm", q, k).div(8).softmax(-1)  # 8: the root of 64
        head_BND = torch.einsum("bhnm,bmhd->bnhd", A_BHNN, v).flatten(2)
        out_BND = F.linear(head_BND, own["attn.proj.weight"], own["attn.proj.bias"])
        attention.append(A_BHNN)
        outputs.append(out_BND)
        x_BND = x_BND + out_BND
        normed = F.layer_norm(x_BND, (D,), own["norm2.weight"], own["norm2.bias"], 1e-6)
        hidden = F.gelu(F.linear(normed, own["mlp.fc1.weight"], own["mlp.fc1.bias"]))
        x_BND = x_BND + F.linear(hidden, own["mlp.fc2.weight"], own["mlp.fc2.bias"])
    return x_BND, attention, outputs


def positions(state: State, grid: tuple[int, int]) -> Tensor:
    """Of class tokens and patches, ``(N, D)``: for another grid bicubic, V1's, V2's and WeakTr's with their 0.1."""
    plus = "pos_embed_pat" in state
    of_classes = state["pos_embed_cls"][0] if plus else state["pos_embed"][0, :C]
    of_patches = (
        (state["pos_embed_pat"] if plus else state["pos_embed"][:, C:]).transpose(1, 2).unflatten(2, (SIDE, SIDE))
    )
    if grid != (SIDE, SIDE):
        more = {"size": grid} if plus else {"scale_factor": tuple((side + 0.1) / SIDE for side in grid)}
        of_patches = F.interpolate(of_patches, mode="bicubic", align_corners=False, **more)
    return torch.cat([of_classes, of_patches.flatten(2)[0].T])


def plain_affinity(attention: list[Tensor]) -> Tensor:
    """The sum over all layers of the heads' mean between patches."""
    return sum(A.mean(1)[:, C:, C:] for A in attention)


def weaktr(state: State, class_BC: Tensor, F_BChw: Tensor, attention: list[Tensor], outputs: list[Tensor]) -> Computed:
    """Section 3.1: heads weighed by the largest of every H-th channel of the projected output, index head L + layer."""
    query_BHLd = torch.stack([out.unflatten(2, (64, H)).amax(1).transpose(1, 2) for out in outputs], 2)
    small = F.linear(query_BHLd.flatten(1, 2), state["own.one.weight"], state["own.one.bias"])
    score_BK = F.linear(small, state["own.two.weight"], state["own.two.bias"]).squeeze(-1)
    weight_BK = F.linear(F.linear(score_BK, state["own.three.weight"]).relu(), state["own.four.weight"]).sigmoid()
    all_BKNN = torch.stack(attention, 2).flatten(1, 2)
    A_BNN = (weight_BK[..., None, None] * all_BKNN).mean(1)
    maps_BCM = F_BChw.relu().flatten(2) * A_BNN[:, :C, C:]
    fine_BCM = torch.einsum("bmn,bcn->bcm", A_BNN[:, C:, C:], maps_BCM)
    logits = {"class_tokens": class_BC, "coarse": F_BChw.mean((2, 3)), "fine": fine_BCM.mean(-1)}
    return Computed(logits, maps_BCM.unflatten(2, F_BChw.shape[2:]), A_BNN[:, C:, C:])
