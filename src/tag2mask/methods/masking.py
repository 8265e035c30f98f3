"""Token masking, shared by TokenMasking and our own method.

Shapes: B batch, C classes, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def mask_absent(class_BCD: Tensor, tags_BC: Tensor, ratio: float) -> Tensor:
    """z_L^i <- (1 - m(i)) z_L^i: m(i) = 1 with probability ``ratio`` for classes outside the image's tags, else 0."""
    drawn_BC = torch.rand(tags_BC.shape, device=class_BCD.device)
    return class_BCD * keep_mask(drawn_BC, tags_BC, ratio).unsqueeze(-1).to(class_BCD.dtype)


def keep_mask(drawn_BC: Tensor, tags_BC: Tensor, ratio: float) -> Tensor:
    """1 - m(i) for uniform draws ``(B, C)``: 0 where a class is absent and its draw is below ``ratio``."""
    return (tags_BC.bool() | (drawn_BC >= ratio)).float()
