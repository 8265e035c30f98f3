"""A method as a network that returns class maps on patches, in torch.

Shapes: B batch, C classes, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torchvision.transforms import v2

from tag2mask.inference.arrays import Arrays
from tag2mask.inference.look import Seen, Window
from tag2mask.inference.networks import TILE_OVERLAP
from tag2mask.inference.torch_arrays import TorchArrays
from tag2mask.methods import Ask, Evidence, Method


class MethodNetwork:
    """A method in evaluation mode, on its own device.

    ``ask`` is what the method must compute, and ``read`` turns its evidence into maps ``(B, C, h, w)``.
    """

    def __init__(
        self,
        method: Method,
        side: int,
        mean: Sequence[float],
        std: Sequence[float],
        ask: Ask,
        read: Callable[[Evidence], Tensor],
    ) -> None:
        self.method = method
        self.arrays: Arrays[Tensor] = TorchArrays(next(method.parameters()).device)
        self.side = side
        self.patch = self.cell = method.patch
        self.window = Window(None, TILE_OVERLAP, faded=True)
        self.mean, self.std = list(mean), list(std)
        self.ask = ask
        self.read = read

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Seen[Tensor]:
        """Class maps and logits of images ``(B, bands, Y, X)`` in [0, 1]."""
        evidence = self.method(v2.functional.normalize(images, self.mean, self.std), ask=self.ask)
        return Seen(self.read(evidence).float(), evidence.scores_BC)
