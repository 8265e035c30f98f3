"""Decoders: from patch tokens to class scores per patch.

Strudel et al., "Segmenter: Transformer for Semantic Segmentation", ICCV 2021, has both: a linear layer, and the mask
transformer, in which patches and one learned token per class attend to each other; WeakTr retrains the latter.
Shapes: B batch, K pixel classes, D width, M patches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from tag2mask.segmentation.settings import Decoder

HEAD_WIDTH = 64
# The paper uses 0.02, but tokens that similar become distinct only after hundreds of steps: README.md, "What differs".
TOKEN_STD = 1.0


class LinearDecoder(nn.Module):
    """One linear layer, the same for every patch."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)

    def forward(self, patch_BMD: Tensor) -> Tensor:
        """``(B, M, D)`` to ``(B, M, K)``, in float32."""
        with torch.autocast(patch_BMD.device.type, enabled=False):
            scores_BMK: Tensor = self.linear(patch_BMD.float())
        return scores_BMK


class MaskTransformer(nn.Module):
    """Tokens of patches and classes pass through two blocks; their similarity is the score."""

    def __init__(self, width: int, classes: int, depth: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        heads = max(width // HEAD_WIDTH, 1)
        self.inward = nn.Linear(width, width)
        self.class_KD = nn.Parameter(nn.init.trunc_normal_(torch.empty(classes, width), std=TOKEN_STD))
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                mlp_ratio=4,
                qkv_bias=True,
                proj_drop=dropout,
                attn_drop=dropout,
                norm_layer=nn.LayerNorm,  # eps is 1e-5 as in the released code; timm's default is 1e-6
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.patch_DD = nn.Parameter(width**-0.5 * torch.randn(width, width))
        self.token_DD = nn.Parameter(width**-0.5 * torch.randn(width, width))
        # Over two classes, a LayerNorm leaves only the sign, whose gradient is 0.
        self.class_norm: nn.Module = nn.LayerNorm(classes) if classes > 2 else Scale(classes)

    def forward(self, patch_BMD: Tensor) -> Tensor:
        """``(B, M, D)`` to ``(B, M, K)``: LayerNorm_K(p / |p| . c / |c|), with p = x_patch P and c = x_class C."""
        images, patches = patch_BMD.shape[:2]
        x_BND = torch.cat([self.inward(patch_BMD), self.class_KD.expand(images, -1, -1)], 1)
        for block in self.blocks:
            x_BND = block(x_BND)
        with torch.autocast(x_BND.device.type, enabled=False):  # half precision is too coarse for cosines
            x_BND = self.norm(x_BND.float())
            patch_BMD = F.normalize(x_BND[:, :patches] @ self.patch_DD, dim=-1)
            class_BKD = F.normalize(x_BND[:, patches:] @ self.token_DD, dim=-1)
            scores_BMK: Tensor = self.class_norm(patch_BMD @ class_BKD.transpose(1, 2))
        return scores_BMK


class Scale(nn.Module):
    """A learned factor and offset per class."""

    START = 10.0  # cosines are between -1 and 1, too small for confident logits

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.weight_K = nn.Parameter(torch.full((classes,), self.START))
        self.bias_K = nn.Parameter(torch.zeros(classes))

    def forward(self, cosine_BMK: Tensor) -> Tensor:
        """``(B, M, K)`` to ``(B, M, K)``."""
        return cosine_BMK * self.weight_K + self.bias_K


DECODERS: Mapping[Decoder, Callable[[int, int], nn.Module]] = MappingProxyType(
    {"linear": LinearDecoder, "mask-transformer": MaskTransformer}
)
