"""Random crops of images, their label images and their soft labels.

Shapes: N label images, P planes of soft labels, h w patch grid, Y X pixels, S side of a crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from tag2mask.data import Classes, DataSettings
from tag2mask.data.loading import load_image
from tag2mask.data.resizing import fitted_size
from tag2mask.errors import DataError
from tag2mask.masks.packed import File, InMemory, labels_in
from tag2mask.masks.scores import ScoreFile
from tag2mask.segmentation.settings import CropSettings

TRIES = 10  # to find a crop that a single class does not fill
PAINTED, CORRECTED, TOUCHED = 0, 1, 2  # labels of a painted mask, of a corrected one, and those set by a person


@dataclass(frozen=True)
class LabelledImage:
    """An image, the label image to learn, and the true one if the labels' precision is to be scored.

    ``scores`` are soft labels, which are learned where the label image is not ignore. If a person corrected the label
    image, ``touched`` marks the pixels they set; soft labels are then not learned.
    """

    name: str
    image: Path
    labels: File
    truth: Path | None = None
    scores: ScoreFile | None = None
    touched: InMemory | None = None


class Crop(NamedTuple):
    """One crop; a loader collates the crops of a batch field by field.

    ``image (bands, S, S)`` is normalised. ``labels (3, S, S)`` are the labels to learn; the truth, which is all ignore
    if unknown; and how the labels are meant, one of ``PAINTED``, ``CORRECTED`` and ``TOUCHED``. ``size (2,)`` is the
    height and width of the image within the crop, which is padded at the right and bottom. ``shares (P, S, S)`` are
    soft labels, times 255, of the classes ``values (P,)``. P is the same for all crops of a data set, and 0 without
    soft labels; unused planes are 0.
    """

    image: Tensor
    labels: Tensor
    size: Tensor
    shares: Tensor
    values: Tensor


class LabelledCrops(TorchDataset[Crop]):
    """Random crops of labelled images.

    Items are indexed by (seed, index), which alone decides their random changes, so any step can be repeated.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        classes: Classes,
        crop: int,
        data: DataSettings,
        mean: Sequence[float],
        std: Sequence[float],
        settings: CropSettings,
    ) -> None:
        self.images = images
        self.classes = classes
        self.crop = crop
        self.data = data
        self.mean = list(mean)
        self.std = list(std)
        self.settings = settings
        self.planes = max((max(len(one.scores.values), 1) for one in images if one.scores is not None), default=0)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> Crop:
        seed, index = key
        one = self.images[index]
        image = load_image(one.image, self.data)
        labels = read_labels(one.labels, image, self.classes)
        unknown = torch.full_like(labels, self.classes.ignore)
        truth = unknown if one.truth is None else read_labels(one.truth, image, self.classes)
        shares_Phw, values_P = self.soft_labels(one)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Crop(*self.cut(image, torch.stack([labels, truth, meant(one, labels)]), shares_Phw), values_P)

    def soft_labels(self, one: LabelledImage) -> tuple[Tensor, Tensor]:
        """Planes ``(P, h, w)`` of an image and their classes ``(P,)``, padded with 0."""
        if one.scores is None:
            return torch.zeros(self.planes, 1, 1, dtype=torch.uint8), torch.zeros(self.planes, dtype=torch.int64)
        missing = self.planes - len(one.scores.values)
        values_P = torch.tensor([*one.scores.values, *[0] * missing])
        return F.pad(torch.from_numpy(one.scores.read()), (0, 0, 0, 0, 0, missing)), values_P

    def cut(self, image: Tensor, labels_NYX: Tensor, shares_Phw: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scale, crop, mirror, distort, normalise and pad; return all fields of a crop but its values.

        Soft labels are resized bilinearly to the image's size; pixels where all of them are 0 have no label. Random
        numbers come from torch's generator.
        """
        settings, ignore = self.settings, self.classes.ignore
        scale = uniform(settings.min_scale, settings.max_scale)
        size = fitted_size(image.shape[1], image.shape[2], max(round(settings.base_for(self.crop) * scale), 1))
        labels_NYX = tv.resize(labels_NYX, list(size), InterpolationMode.NEAREST_EXACT)
        top, left = choose_corner(labels_NYX[0], self.crop, settings.cat_max_ratio, ignore)
        image = tv.resize(image, list(size), antialias=True)[:, top : top + self.crop, left : left + self.crop]
        labels_NYX = labels_NYX[:, top : top + self.crop, left : left + self.crop]
        shares_PYX = grown(shares_Phw, size)[:, top : top + self.crop, left : left + self.crop]
        if self.planes:
            unknown_YX = (shares_PYX == 0).all(0) & (labels_NYX[2] == PAINTED)
            labels_NYX = torch.stack([labels_NYX[0].masked_fill(unknown_YX, ignore), *labels_NYX[1:]])
        if uniform(0, 1) < settings.flip:
            image, labels_NYX, shares_PYX = image.flip(-1), labels_NYX.flip(-1), shares_PYX.flip(-1)
        if len(self.mean) == 3 and settings.distort > 0:
            image = distort(image, settings.distort)
        image = tv.normalize(image, self.mean, self.std)
        missing = (0, self.crop - image.shape[2], 0, self.crop - image.shape[1])
        labels_NYX = F.pad(labels_NYX, missing, value=ignore)
        return F.pad(image, missing), labels_NYX, torch.tensor(image.shape[1:]), F.pad(shares_PYX, missing)


def meant(one: LabelledImage, labels_YX: Tensor) -> Tensor:
    """How the labels of an image are meant, ``(Y, X)``.

    Raises:
        DataError: the touched pixels have another size.
    """
    if one.touched is None:
        return torch.full_like(labels_YX, PAINTED)
    touched = labels_in(one.touched)
    if touched.shape != labels_YX.shape:
        raise DataError(f"{one.touched}: its size is {touched.shape}, but the image's is {tuple(labels_YX.shape)}")
    return torch.where(torch.from_numpy(touched > 0), TOUCHED, CORRECTED)


def grown(shares_Phw: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize 8-bit planes bilinearly: ``(P, Y, X)``."""
    if not len(shares_Phw):
        return shares_Phw.expand(-1, *size)
    shares_PYX: Tensor = tv.resize(shares_Phw.float(), list(size), antialias=True)
    return shares_PYX.round().to(torch.uint8)


def read_labels(path: File, image: Tensor, classes: Classes) -> Tensor:
    """Read the label image of ``image``, int64 ``(Y, X)``.

    Raises:
        DataError: it has another size, or a value that is neither a class nor ignore.
    """
    labels = labels_in(path)
    if labels.shape != image.shape[1:]:
        raise DataError(f"{path}: its size is {labels.shape}, but the image's is {tuple(image.shape[1:])}")
    foreign = classes.foreign(labels)
    if foreign.size:
        raise DataError(
            f"{path}: holds the value {foreign[0]}, which is neither one of {len(classes.pixel_names)} classes nor "
            f"{classes.ignore}"
        )
    return torch.from_numpy(labels.copy())


def choose_corner(labels_YX: Tensor, crop: int, cat_max_ratio: float, ignore: int) -> tuple[int, int]:
    """Top and left of a random crop; tries several times to find one with several classes, none too dominant."""
    Y, X = labels_YX.shape
    top = left = 0
    for _ in range(TRIES):
        top, left = below(max(Y - crop, 0) + 1), below(max(X - crop, 0) + 1)
        part = labels_YX[top : top + crop, left : left + crop]
        counts = part[part != ignore].bincount()
        if (counts > 0).sum() > 1 and counts.max() < cat_max_ratio * counts.sum():
            break
    return top, left


def distort(image: Tensor, strength: float) -> Tensor:
    """Change brightness, contrast, saturation and hue of three bands in [0, 1], each with probability 0.5."""
    contrast_last = below(2)
    if below(2):
        image = (image + strength * uniform(-0.125, 0.125)).clamp(0, 1)
    if below(2) and not contrast_last:
        image = adjust_contrast(image, strength)
    if below(2):
        image = tv.adjust_saturation(image, 1 + strength * uniform(-0.5, 0.5))
    if below(2):
        image = tv.adjust_hue(image, strength * uniform(-0.1, 0.1))
    if below(2) and contrast_last:
        image = adjust_contrast(image, strength)
    return image


def adjust_contrast(image: Tensor, strength: float) -> Tensor:
    """Multiply all values by a random factor."""
    return (image * (1 + strength * uniform(-0.5, 0.5))).clamp(0, 1)


def uniform(low: float, high: float) -> float:
    """Draw a number from torch's generator."""
    return low + (high - low) * torch.rand(()).item()


def below(count: int) -> int:
    """Draw an integer from 0 to ``count`` - 1 from torch's generator."""
    return int(torch.randint(count, ()))
