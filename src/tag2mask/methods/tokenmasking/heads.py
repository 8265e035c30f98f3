"""From class tokens to class logits.

Shapes: B batch, C classes, D width, M patches.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RARE = -2.0  # bias at the start: most classes are absent from most photographs


class ConcatHead(nn.Module):
    """The paper's head: one linear layer over all C D numbers together.

    It grows with C squared: use another above 40 classes. Masked tokens are zeros that all logits see,
    and only absent classes are ever masked: the zero pattern tells the network in training what is absent.
    """

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(classes * width, classes)

    def forward(self, class_BCD: Tensor) -> Tensor:
        """``(B, C, D)`` to ``(B, C)``."""
        logits: Tensor = self.linear(class_BCD.flatten(1))
        return logits


class VectorHead(nn.Module):
    """Every token's product with a vector: its own (``vectors`` = C) or one that all classes share (``vectors`` = 1).

    Linear in C.
    """

    def __init__(self, vectors: int, width: int) -> None:
        super().__init__()
        self.vector_D = nn.Parameter(nn.init.trunc_normal_(torch.empty(vectors, width), std=0.02))
        self.bias = nn.Parameter(torch.full((vectors,), RARE))

    def forward(self, class_BCD: Tensor) -> Tensor:
        """``(B, C, D)`` to ``(B, C)``."""
        return (class_BCD * self.vector_D).sum(-1) + self.bias

    def evidence(self, patch_BMD: Tensor) -> Tensor:
        """w_c . x_m: how much every patch speaks for every class, ``(B, M, D)`` to ``(B, C or 1, M)``."""
        spoken: Tensor = self.vector_D @ patch_BMD.transpose(1, 2)
        return spoken


class MeanHead(nn.Module):
    """MCTformer's head: the mean over a token's width. Means nothing on normalised tokens, whose mean is fixed."""

    def forward(self, class_BCD: Tensor) -> Tensor:
        """``(B, C, D)`` to ``(B, C)``."""
        return class_BCD.mean(-1)


def build_head(kind: str, classes: int, width: int) -> nn.Module:
    """The head that ``TokenMaskingSettings.head`` names."""
    match kind:
        case "concat":
            return ConcatHead(classes, width)
        case "per_token":
            return VectorHead(classes, width)
        case "shared":
            return VectorHead(1, width)
        case _:
            return MeanHead()
