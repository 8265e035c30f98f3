"""What the engine does with images and maps, by numpy alone or by torch on a device.

Shapes: B batch, K channels, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tag2mask.data import resizing
from tag2mask.data.resizing import Edges

if TYPE_CHECKING:  # a network may do without torch
    from torch import Tensor

Floats = NDArray[np.float32]
A = TypeVar("A", Floats, "Tensor")


class Arrays(Protocol[A]):
    """The operations; an image is ``(bands, Y, X)``, a batch has one more axis in front."""

    def resize(self, image: A, size: tuple[int, int]) -> A:
        """An image at another size, bicubic and antialiased, within the range of each band."""

    def stack(self, images: Sequence[A]) -> A:
        """Images of one size as a batch, where the network is."""

    def whole_cells(self, batch: A, cell: int, edges: Edges) -> A:
        """A batch with sides of whole cells: the edge repeated right and below, or the rest there left out."""

    def mirror(self, batch: A) -> A:
        """Left and right exchanged."""

    def bilinear(self, maps: A, size: Sequence[int]) -> A:
        """Maps ``(..., Y, X)`` at another size, corners not aligned."""

    def zeros(self, shape: Sequence[int], like: A) -> A:
        """Nothing yet, in the precision and on the device of ``like``."""

    def match(self, values: Floats, like: A) -> A:
        """These values, in the precision and on the device of ``like``."""

    def mean(self, parts: Sequence[A]) -> A:
        """Element by element."""

    def largest(self, parts: Sequence[A]) -> A:
        """Element by element."""

    def softmax(self, logits_BKYX: A) -> A:
        """Over the channels."""


class NumpyArrays:
    """Without torch."""

    def resize(self, image: Floats, size: tuple[int, int]) -> Floats:
        """An image at another size, bicubic and antialiased, within the range of each band."""
        return resizing.resize_array(image, size)

    def stack(self, images: Sequence[Floats]) -> Floats:
        """Images of one size as a batch, where the network is."""
        return np.stack(images)

    def whole_cells(self, batch: Floats, cell: int, edges: Edges) -> Floats:
        """A batch with sides of whole cells: the edge repeated right and below, or the rest there left out."""
        Y, X = batch.shape[-2:]
        if edges == "drop":
            batch = batch[..., : max(Y - Y % cell, cell), : max(X - X % cell, cell)]
            Y, X = batch.shape[-2:]
        return np.pad(batch, ((0, 0), (0, 0), (0, -Y % cell), (0, -X % cell)), mode="edge")

    def mirror(self, batch: Floats) -> Floats:
        """Left and right exchanged."""
        return batch[..., ::-1]

    def bilinear(self, maps: Floats, size: Sequence[int]) -> Floats:
        """Maps ``(..., Y, X)`` at another size, corners not aligned."""
        return resizing.resize_bilinear(maps, size)

    def zeros(self, shape: Sequence[int], like: Floats) -> Floats:
        """Nothing yet, in the precision and on the device of ``like``."""
        return np.zeros(tuple(shape), like.dtype)

    def match(self, values: Floats, like: Floats) -> Floats:
        """These values, in the precision and on the device of ``like``."""
        return values.astype(like.dtype)

    def mean(self, parts: Sequence[Floats]) -> Floats:
        """Element by element."""
        mean: Floats = np.mean(parts, 0)
        return mean

    def largest(self, parts: Sequence[Floats]) -> Floats:
        """Element by element."""
        largest: Floats = np.max(parts, 0)
        return largest

    def softmax(self, logits_BKYX: Floats) -> Floats:
        """Over the channels."""
        shares_BKYX: Floats = logits_BKYX - logits_BKYX.max(1, keepdims=True)
        np.exp(shares_BKYX, out=shares_BKYX)
        shares_BKYX /= shares_BKYX.sum(1, keepdims=True)
        return shares_BKYX
