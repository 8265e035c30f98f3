"""From pixels in [0, 1] to the input of the transformer.

Shapes: Y X pixels, S side of a training crop.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from tag2mask.data.resizing import Edges, fitted_size
from tag2mask.data.settings import AugmentSettings


@dataclass(frozen=True)
class Crops:
    """Further random crops of a training image: ``count`` of ``side`` pixels, covering a fraction within ``scale``."""

    count: int
    side: int
    scale: tuple[float, float]


def train_transform(
    size: int, mean: Sequence[float], std: Sequence[float], augment: AugmentSettings
) -> Callable[[Tensor], Tensor]:
    """Return the map from ``(bands, Y, X)`` in [0, 1] to a random normalised crop ``(bands, S, S)``.

    It draws from torch's generator.
    """
    return crop_transform(size, (augment.min_scale, 1.0), mean, std, augment)


class OtherViews:
    """Further crops of an image, augmented like the first one. Draws from torch's generator."""

    def __init__(
        self, crops: Sequence[Crops], mean: Sequence[float], std: Sequence[float], augment: AugmentSettings
    ) -> None:
        self.cuts = [(one.count, crop_transform(one.side, one.scale, mean, std, augment)) for one in crops]

    def __call__(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map ``(bands, Y, X)`` in [0, 1] to one ``(count, bands, side, side)`` tensor per ``Crops``."""
        return tuple(torch.stack([cut(image) for _ in range(count)]) for count, cut in self.cuts)


def crop_transform(
    size: int, scale: tuple[float, float], mean: Sequence[float], std: Sequence[float], augment: AugmentSettings
) -> Callable[[Tensor], Tensor]:
    """Return a random crop that covers a fraction of the image within ``scale``, with all other augmentations."""
    crop = AnyShapeCrop(
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


class AnyShapeCrop(v2.RandomResizedCrop):  # type: ignore[misc]
    """torchvision's random crop, which also works for elongated images.

    A nearly square crop of most of an elongated image is higher than the image is, so torchvision would draw in vain
    and take the middle. Here, such a crop gets the image's full short side and is longer instead, up to ``SQUEEZE``
    times its other side, at a random place.
    """

    ELONGATED = 2.0  # ratio of the sides; up to here, torchvision's ten draws hardly ever fail
    SQUEEZE = 2.0

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Return top, left, height and width of a crop."""
        height, width = flat_inputs[0].shape[-2:]
        short, long = sorted((height, width))
        if long <= self.ELONGATED * short:
            return super().make_params(flat_inputs)  # type: ignore[no-any-return]
        area = draw(*self.scale) * short * long
        ratio = math.exp(draw(*map(math.log, self.ratio)))
        across, along = math.sqrt(area / ratio), math.sqrt(area * ratio)
        if across > short:
            across, along = short, min(area / short, self.SQUEEZE * short)
        sides = max(round(across), 1), max(round(along), 1)
        starts = random_start(short, sides[0]), random_start(long, sides[1])
        (top, left), (rows, columns) = (starts, sides) if height == short else (starts[::-1], sides[::-1])
        return {"top": top, "left": left, "height": rows, "width": columns}


def draw(low: float, high: float) -> float:
    """Draw a number from torch's generator."""
    return float(torch.empty(()).uniform_(low, high))


def random_start(side: int, part: int) -> int:
    """Draw where a part of a side begins."""
    return int(torch.randint(side - part + 1, ()))


class Hide(torch.nn.Module):
    """Set random cells of a grid to 0, the mean colour; the probability is drawn uniformly below ``share`` per image.

    Singh and Lee, "Hide-and-Seek", ICCV 2017, where the probability is fixed.
    """

    CELLS = 8

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, image: Tensor) -> Tensor:
        """Hide cells of a normalised image ``(bands, Y, X)``."""
        chance = self.share * torch.rand(())
        seen = (torch.rand(1, 1, self.CELLS, self.CELLS) >= chance).float()
        return image * F.interpolate(seen, size=image.shape[-2:], mode="nearest")[0]


def eval_resize(
    image: Tensor, side: int, patch: int, mean: Sequence[float], std: Sequence[float]
) -> tuple[Tensor, tuple[int, int]]:
    """Resize ``(bands, Y, X)`` in [0, 1] to the short side ``side``, normalise it and pad it to whole patches.

    Padding goes to the right and below. Returns the tensor, and the height and width before padding.
    """
    size = fitted_size(image.shape[1], image.shape[2], side)
    return whole_patches(normalise_image(image, size, mean, std), patch), size


def normalise_image(image: Tensor, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Resize ``(bands, Y, X)`` in [0, 1] and normalise it."""
    scaled: Tensor = v2.functional.normalize(resize_image(image, size), list(mean), list(std))
    return scaled


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize ``(bands, Y, X)``, bicubic and antialiased, clamped to the range of each band: bicubic overshoots."""
    larger = F.interpolate(image[None], size=size, mode="bicubic", antialias=True, align_corners=False)[0]
    return larger.clamp(image.amin((1, 2), keepdim=True), image.amax((1, 2), keepdim=True))


def whole_patches(images: Tensor, patch: int, edges: Edges = "pad") -> Tensor:
    """Make the sides of ``(..., Y, X)`` multiples of ``patch``, by padding right and below or dropping the rest there.

    A side shorter than a patch is padded in either case.
    """
    Y, X = images.shape[-2:]
    if edges == "drop":
        images = images[..., : max(Y - Y % patch, patch), : max(X - X % patch, patch)]
        Y, X = images.shape[-2:]
    return F.pad(images, (0, -X % patch, 0, -Y % patch), mode="replicate")
