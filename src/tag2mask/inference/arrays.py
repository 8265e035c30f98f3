"""Array operations of the engine, in numpy or in torch on a device.

Shapes: B batch, K channels, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tag2mask.data import resizing
from tag2mask.data.resizing import Edges

if TYPE_CHECKING:  # a network may not need torch
    from torch import Tensor

Floats = NDArray[np.float32]
A = TypeVar("A", Floats, "Tensor")


class Arrays(Protocol[A]):
    """The operations; an image is ``(bands, Y, X)``, a batch has one more leading axis."""

    def resize(self, image: A, size: tuple[int, int]) -> A:
        """Resize an image, bicubic and antialiased, clipped to the range of each band."""

    def stack(self, images: Sequence[A]) -> A:
        """Stack images of equal size into a batch on the network's device."""

    def whole_cells(self, batch: A, cell: int, edges: Edges) -> A:
        """Make both sides whole numbers of cells: pad at the right and bottom with the edge, or crop there."""

    def mirror(self, batch: A) -> A:
        """Mirror left to right."""

    def bilinear(self, maps: A, size: Sequence[int]) -> A:
        """Resize maps ``(..., Y, X)`` bilinearly, without aligned corners."""

    def zeros(self, shape: Sequence[int], like: A) -> A:
        """Zeros with the dtype and device of ``like``."""

    def match(self, values: Floats, like: A) -> A:
        """Convert values to the dtype and device of ``like``."""

    def mean(self, parts: Sequence[A]) -> A:
        """Elementwise mean."""

    def largest(self, parts: Sequence[A]) -> A:
        """Elementwise maximum."""

    def softmax(self, logits_BKYX: A) -> A:
        """Softmax over the channels."""


class NumpyArrays:
    """The operations in numpy."""

    def resize(self, image: Floats, size: tuple[int, int]) -> Floats:
        """Resize an image, bicubic and antialiased, clipped to the range of each band."""
        return resizing.resize_array(image, size)

    def stack(self, images: Sequence[Floats]) -> Floats:
        """Stack images of equal size into a batch on the network's device."""
        return np.stack(images)

    def whole_cells(self, batch: Floats, cell: int, edges: Edges) -> Floats:
        """Make both sides whole numbers of cells: pad at the right and bottom with the edge, or crop there."""
        Y, X = batch.shape[-2:]
        if edges == "drop":
            batch = batch[..., : max(Y - Y % cell, cell), : max(X - X % cell, cell)]
            Y, X = batch.shape[-2:]
        return np.pad(batch, ((0, 0), (0, 0), (0, -Y % cell), (0, -X % cell)), mode="edge")

    def mirror(self, batch: Floats) -> Floats:
        """Mirror left to right."""
        return batch[..., ::-1]

    def bilinear(self, maps: Floats, size: Sequence[int]) -> Floats:
        """Resize maps ``(..., Y, X)`` bilinearly, without aligned corners."""
        return resizing.resize_bilinear(maps, size)

    def zeros(self, shape: Sequence[int], like: Floats) -> Floats:
        """Zeros with the dtype and device of ``like``."""
        return np.zeros(tuple(shape), like.dtype)

    def match(self, values: Floats, like: Floats) -> Floats:
        """Convert values to the dtype and device of ``like``."""
        return values.astype(like.dtype)

    def mean(self, parts: Sequence[Floats]) -> Floats:
        """Elementwise mean."""
        mean: Floats = np.mean(parts, 0)
        return mean

    def largest(self, parts: Sequence[Floats]) -> Floats:
        """Elementwise maximum."""
        largest: Floats = np.max(parts, 0)
        return largest

    def softmax(self, logits_BKYX: Floats) -> Floats:
        """Softmax over the channels."""
        shares_BKYX: Floats = logits_BKYX - logits_BKYX.max(1, keepdims=True)
        np.exp(shares_BKYX, out=shares_BKYX)
        shares_BKYX /= shares_BKYX.sum(1, keepdims=True)
        return shares_BKYX
