"""From pixels in [0, 1] to what the transformer eats.

Shapes: Y X pixels, S side of a training crop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from tag2mask.data.resizing import Edges, fitted_size
from tag2mask.data.settings import AugmentSettings


@dataclass(frozen=True)
class Crops:
    """Random crops of a training image beside the first one: ``count`` of ``side`` pixels, shares ``scale`` of it."""

    count: int
    side: int
    scale: tuple[float, float]


def train_transform(
    size: int, mean: Sequence[float], std: Sequence[float], augment: AugmentSettings
) -> Callable[[Tensor], Tensor]:
    """``(bands, Y, X)`` in [0, 1] to a random crop ``(bands, S, S)``, normalised. Draws from torch's generator."""
    return crop_transform(size, (augment.min_scale, 1.0), mean, std, augment)


class OtherViews:
    """What ``Crops`` ask for, changed in the same ways as the first crop. Draws from torch's generator."""

    def __init__(
        self, crops: Sequence[Crops], mean: Sequence[float], std: Sequence[float], augment: AugmentSettings
    ) -> None:
        self.cuts = [(one.count, crop_transform(one.side, one.scale, mean, std, augment)) for one in crops]

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]:
        """``(bands, Y, X)`` in [0, 1] to ``(count, bands, side, side)`` for each of them."""
        return tuple(torch.stack([cut(image) for _ in range(count)]) for count, cut in self.cuts)


def crop_transform(
    size: int, scale: tuple[float, float], mean: Sequence[float], std: Sequence[float], augment: AugmentSettings
) -> Callable[[Tensor], Tensor]:
    """A random crop of a share of the image within ``scale``, and every other random change."""
    crop = v2.RandomResizedCrop(
        size,
        scale=scale,
        interpolation=InterpolationMode(augment.interpolation),
        antialias=True,
    )
    steps: list[torch.nn.Module] = [crop, v2.RandomHorizontalFlip(augment.flip)]
    if len(mean) == 3 and augment.colour > 0:
        steps.append(v2.ColorJitter(augment.colour, augment.colour, augment.colour))
    if len(mean) == 3 and augment.randaugment > 0:
        of_bytes = v2.RandAugment(augment.randaugment, magnitude=9, fill=[round(255 * value) for value in mean])
        steps += [v2.ToDtype(torch.uint8, scale=True), of_bytes, v2.ToDtype(torch.float32, scale=True)]
    steps.append(v2.Normalize(list(mean), list(std)))
    if augment.hide > 0:
        steps.append(Hide(augment.hide))
    if augment.erase > 0:
        steps.append(v2.RandomErasing(augment.erase, value="random"))
    compose: Callable[[Tensor], Tensor] = v2.Compose(steps)
    return compose


class Hide(torch.nn.Module):
    """Cells of a grid set to 0, the mean colour: each with a chance drawn uniformly below ``share`` once an image.

    Singh and Lee, "Hide-and-Seek", ICCV 2017, where the chance is fixed.
    """

    CELLS = 8

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, image: Tensor) -> Tensor:
        """``(bands, Y, X)``, normalised."""
        chance = self.share * torch.rand(())
        seen = (torch.rand(1, 1, self.CELLS, self.CELLS) >= chance).float()
        return image * F.interpolate(seen, size=image.shape[-2:], mode="nearest")[0]


def eval_resize(
    image: Tensor, side: int, patch: int, mean: Sequence[float], std: Sequence[float]
) -> tuple[Tensor, tuple[int, int]]:
    """``(bands, Y, X)`` in [0, 1] to the short side ``side``, normalised, padded right and below to whole patches.

    Returns the tensor and the height and width before padding.
    """
    size = fitted_size(image.shape[1], image.shape[2], side)
    return whole_patches(normalise_image(image, size, mean, std), patch), size


def normalise_image(image: Tensor, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """``(bands, Y, X)`` in [0, 1] at another size, normalised."""
    scaled: Tensor = v2.functional.normalize(resize_image(image, size), list(mean), list(std))
    return scaled


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """``(bands, Y, X)`` at another size, bicubic and antialiased, within the range of each band: bicubic overshoots."""
    larger = F.interpolate(image[None], size=size, mode="bicubic", antialias=True, align_corners=False)[0]
    return larger.clamp(image.amin((1, 2), keepdim=True), image.amax((1, 2), keepdim=True))


def whole_patches(images: Tensor, patch: int, edges: Edges = "pad") -> Tensor:
    """``(..., Y, X)`` with sides of whole patches: filled up right and below, or without the rest there.

    Nothing is left out of a side that is shorter than a patch.
    """
    Y, X = images.shape[-2:]
    if edges == "drop":
        images = images[..., : max(Y - Y % patch, patch), : max(X - X % patch, patch)]
        Y, X = images.shape[-2:]
    return F.pad(images, (0, -X % patch, 0, -Y % patch), mode="replicate")
