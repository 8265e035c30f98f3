"""Models that take images as they are, in [0, 1].

Shapes: B batch, C classes, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class FromPixels(nn.Module):
    """Images ``(B, bands, Y, X)`` in [0, 1], normalised, to whatever ``model`` makes of them."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Any:
        """Normalise and look."""
        return self.model((images - self.mean) / self.std)


def in_numpy(model: nn.Module) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """A model with one output, from array to array, on the device that it is on."""
    device = next(model.parameters()).device

    @torch.inference_mode()
    def look(images: NDArray[np.float32]) -> NDArray[np.float32]:
        found: Tensor = model(torch.from_numpy(images).to(device))
        return found.float().cpu().numpy()

    return look
