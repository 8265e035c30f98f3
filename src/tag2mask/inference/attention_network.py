"""The attention of class tokens in one layer, as a network that returns maps on patches.

Shapes: B batch, C classes, H heads, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms import v2

from tag2mask.inference.arrays import Arrays
from tag2mask.inference.look import Seen, Window
from tag2mask.inference.networks import TILE_OVERLAP
from tag2mask.inference.torch_arrays import TorchArrays
from tag2mask.methods import Method
from tag2mask.vit.grid import on_grid
from tag2mask.vit.tap import Tap


class AttentionNetwork:
    """What class tokens attend to in a layer, by one head or on average over all; counted from 0."""

    def __init__(
        self, method: Method, side: int, mean: Sequence[float], std: Sequence[float], layer: int, head: int | None
    ) -> None:
        self.method = method
        self.arrays: Arrays[Tensor] = TorchArrays(next(method.parameters()).device)
        self.side = side
        self.patch = self.cell = method.patch
        self.window = Window(None, TILE_OVERLAP, faded=True)
        self.mean, self.std = list(mean), list(std)
        self.layer, self.head = layer, head

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Seen[Tensor]:
        """Attention from class tokens to patches of images ``(B, bands, Y, X)`` in [0, 1]: ``(B, C, h, w)``."""
        tap = Tap(frozenset([self.layer]), per_head=True)
        features = self.method.vit(v2.functional.normalize(images, self.mean, self.std), tap)
        rows_BHCM = tap.rows[self.layer]
        rows_BCM = rows_BHCM.mean(1) if self.head is None else rows_BHCM[:, self.head]
        return Seen(on_grid(rows_BCM.float(), features.grid))
