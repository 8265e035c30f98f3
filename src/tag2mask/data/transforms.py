"""From pixels in [0, 1] to what the transformer eats.

Shapes: Y X pixels, S side of a training crop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from tag2mask.settings import Settings


class AugmentSettings(Settings):
    """Random changes to training photographs; ``colour`` jitters three bands and leaves others alone."""

    min_scale: float = Field(0.35, gt=0, le=1)
    flip: float = Field(0.5, ge=0, le=1)
    colour: float = Field(0.3, ge=0, le=1)


def train_transform(
    size: int, mean: Sequence[float], std: Sequence[float], augment: AugmentSettings
) -> Callable[[Tensor], Tensor]:
    """``(bands, Y, X)`` in [0, 1] to a random crop ``(bands, S, S)``, normalised. Draws from torch's generator."""
    steps: list[torch.nn.Module] = [
        v2.RandomResizedCrop(
            size, scale=(augment.min_scale, 1.0), interpolation=InterpolationMode.BILINEAR, antialias=True
        ),
        v2.RandomHorizontalFlip(augment.flip),
    ]
    if len(mean) == 3 and augment.colour > 0:
        steps.append(v2.ColorJitter(augment.colour, augment.colour, augment.colour))
    steps.append(v2.Normalize(list(mean), list(std)))
    compose: Callable[[Tensor], Tensor] = v2.Compose(steps)
    return compose


def fitted_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width with the short side ``side`` and the photograph's proportions."""
    scale = side / min(height, width)
    return max(round(height * scale), side), max(round(width * scale), side)


def eval_resize(
    image: Tensor, side: int, patch: int, mean: Sequence[float], std: Sequence[float]
) -> tuple[Tensor, tuple[int, int]]:
    """``(bands, Y, X)`` in [0, 1] to the short side ``side``, normalised, padded right and below to whole patches.

    Returns the tensor and the height and width before padding.
    """
    size = fitted_size(image.shape[1], image.shape[2], side)
    resized = F.interpolate(image[None], size=size, mode="bicubic", antialias=True, align_corners=False)[0]
    resized = resized.clamp(image.amin((1, 2), keepdim=True), image.amax((1, 2), keepdim=True))  # bicubic overshoots
    normalised = v2.functional.normalize(resized, list(mean), list(std))
    padded = F.pad(normalised, (0, -size[1] % patch, 0, -size[0] % patch), mode="replicate")
    return padded, size
