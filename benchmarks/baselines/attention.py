"""Class maps as the released codes make them: softmax spelled out, the attention of every layer kept and stacked."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tag2mask.vit.vit import ViT


def keep_all_maps(vit: ViT, images: Tensor) -> Tensor:
    """Class rows summed over layers, the mean over heads: ``(B, C, tokens)``.

    TokenMasking's ``Recorder`` clones all these maps, and stacks the clones as well.
    """
    kept: list[Tensor] = []
    recorded: list[Tensor] = []
    fused = F.scaled_dot_product_attention

    def spelled_out(q: Tensor, k: Tensor, v: Tensor, **_: object) -> Tensor:
        kept.append((q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1))
        recorded.append(kept[-1].clone())
        return kept[-1] @ v

    F.scaled_dot_product_attention = spelled_out  # type: ignore[assignment]
    try:
        vit(images)
    finally:
        F.scaled_dot_product_attention = fused
    torch.stack(recorded)
    return torch.stack(kept)[:, :, :, : len(vit.class_CD)].mean(2).sum(0)
