"""A method as a network that returns maps on patches, in torch.

Shapes: B batch, C classes, H heads, M patches, h w patch grid, Y X pixels.
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
from tag2mask.vit.grid import on_grid
from tag2mask.vit.tap import Tap

See = Callable[[Tensor], Seen[Tensor]]  # from normalised images ``(B, bands, Y, X)`` to maps ``(B, C, h, w)``


class MethodNetwork:
    """A method in evaluation mode, on its own device; ``see`` is what it does with a batch of normalised images."""

    def __init__(self, method: Method, side: int, mean: Sequence[float], std: Sequence[float], see: See) -> None:
        self.arrays: Arrays[Tensor] = TorchArrays(next(method.parameters()).device)
        self.side = side
        self.patch = self.cell = method.patch
        self.window = Window(None, TILE_OVERLAP, faded=True)
        self.mean, self.std = list(mean), list(std)
        self.see = see

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Seen[Tensor]:
        """Return the maps of images ``(B, bands, Y, X)`` in [0, 1]."""
        return self.see(v2.functional.normalize(images, self.mean, self.std))


def evidence_of(
    method: Method,
    ask: Ask,
    read: Callable[[Evidence], Tensor],
    precision: Callable[[torch.device], torch.autocast],
) -> See:
    """See class maps and logits: ``ask`` is what the method computes, ``read`` turns its evidence into maps.

    ``precision`` says how the method runs on its device; ``read`` always runs in float32.
    """
    device = next(method.parameters()).device

    def see(images: Tensor) -> Seen[Tensor]:
        with precision(device):
            evidence = method(images, ask=ask)
        return Seen(read(evidence), evidence.scores_BC)

    return see


def attention_of(method: Method, layer: int, head: int | None) -> See:
    """See what class tokens attend to in a layer, by one head or on average over all; both are counted from 0."""

    def see(images: Tensor) -> Seen[Tensor]:
        tap = Tap(frozenset([layer]), per_head=True)
        features = method.vit(images, tap)
        rows_BHCM = tap.rows[layer]
        rows_BCM = rows_BHCM.mean(1) if head is None else rows_BHCM[:, head]
        return Seen(on_grid(rows_BCM.float(), features.grid))

    return see
