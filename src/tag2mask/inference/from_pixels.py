"""Models that take images in [0, 1], without normalisation.

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
    """Normalises images ``(B, bands, Y, X)`` in [0, 1] and passes them to ``model``."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Any:
        """Return the model's output for images in [0, 1]."""
        return self.model((images - self.mean) / self.std)


def in_numpy(
    model: nn.Module, precision: Callable[[torch.device], torch.autocast]
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return a function from array to array for a model with one output.

    The model stays on its device; ``precision`` says how it runs there.
    """
    device = next(model.parameters()).device

    @torch.inference_mode()
    def look(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with precision(device):
            found: Tensor = model(torch.from_numpy(images).to(device))
        return found.float().cpu().numpy()

    return look
