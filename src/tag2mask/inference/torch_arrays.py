"""The engine's operations by torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tag2mask.data.resizing import Edges
from tag2mask.data.transforms import resize_image, whole_patches
from tag2mask.inference.arrays import Floats
from tag2mask.vit.grid import resize


class TorchArrays:
    """On one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def resize(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """An image at another size, bicubic and antialiased, within the range of each band."""
        return resize_image(image, size)

    def stack(self, images: Sequence[Tensor]) -> Tensor:
        """Images of one size as a batch, where the network is."""
        return torch.stack(list(images)).to(self.device)

    def whole_cells(self, batch: Tensor, cell: int, edges: Edges) -> Tensor:
        """A batch with sides of whole cells: the edge repeated right and below, or the rest there left out."""
        return whole_patches(batch, cell, edges)

    def mirror(self, batch: Tensor) -> Tensor:
        """Left and right exchanged."""
        return batch.flip(-1)

    def bilinear(self, maps: Tensor, size: Sequence[int]) -> Tensor:
        """Maps ``(..., Y, X)`` at another size, corners not aligned."""
        return resize(maps, size)

    def zeros(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Nothing yet, in the precision and on the device of ``like``."""
        return like.new_zeros(tuple(shape))

    def match(self, values: Floats, like: Tensor) -> Tensor:
        """These values, in the precision and on the device of ``like``."""
        return torch.from_numpy(values).to(like)

    def mean(self, parts: Sequence[Tensor]) -> Tensor:
        """Element by element."""
        return torch.stack(list(parts)).mean(0)

    def largest(self, parts: Sequence[Tensor]) -> Tensor:
        """Element by element."""
        return torch.stack(list(parts)).amax(0)

    def softmax(self, logits_BKYX: Tensor) -> Tensor:
        """Over the channels."""
        return logits_BKYX.softmax(1)
