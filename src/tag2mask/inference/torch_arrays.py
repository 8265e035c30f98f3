"""Array operations of the engine in torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tag2mask.data.resizing import Edges
from tag2mask.data.transforms import resize_image, whole_patches
from tag2mask.inference.arrays import Floats
from tag2mask.vit.grid import resize


class TorchArrays:
    """The operations in torch, on one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def resize(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize an image, bicubic and antialiased, clipped to the range of each band."""
        return resize_image(image, size)

    def stack(self, images: Sequence[Tensor]) -> Tensor:
        """Stack images of equal size into a batch on the network's device."""
        return torch.stack(list(images)).to(self.device)

    def whole_cells(self, batch: Tensor, cell: int, edges: Edges) -> Tensor:
        """Make both sides whole numbers of cells: pad at the right and bottom with the edge, or crop there."""
        return whole_patches(batch, cell, edges)

    def mirror(self, batch: Tensor) -> Tensor:
        """Mirror left to right."""
        return batch.flip(-1)

    def bilinear(self, maps: Tensor, size: Sequence[int]) -> Tensor:
        """Resize maps ``(..., Y, X)`` bilinearly, without aligned corners."""
        return resize(maps, size)

    def zeros(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Zeros with the dtype and device of ``like``."""
        return like.new_zeros(tuple(shape))

    def match(self, values: Floats, like: Tensor) -> Tensor:
        """Convert values to the dtype and device of ``like``."""
        return torch.from_numpy(values).to(like)

    def mean(self, parts: Sequence[Tensor]) -> Tensor:
        """Elementwise mean."""
        return torch.stack(list(parts)).mean(0)

    def largest(self, parts: Sequence[Tensor]) -> Tensor:
        """Elementwise maximum."""
        return torch.stack(list(parts)).amax(0)

    def softmax(self, logits_BKYX: Tensor) -> Tensor:
        """Softmax over the channels."""
        return logits_BKYX.softmax(1)
