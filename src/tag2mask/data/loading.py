"""Tensors for training, from samples.

Shapes: C classes, S side of a crop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from tag2mask.data.cache import SmallCopies
from tag2mask.data.reading import read_scaled, scale_values
from tag2mask.data.sample import Dataset, Sample
from tag2mask.data.settings import DataSettings
from tag2mask.errors import DataError, Tag2MaskError


def load_image(path: Path, settings: DataSettings) -> Tensor:
    """Read an image ``(bands, Y, X)`` in [0, 1].

    Raises:
        DataError: it cannot be read, or has another number of bands.
    """
    return torch.from_numpy(read_scaled(path, settings))


def load_pixels(sample: Sample, settings: DataSettings) -> Tensor:
    """Return the image ``(bands, Y, X)`` of a sample in [0, 1], from memory or from its file.

    Raises:
        DataError: it cannot be read, or has another number of bands.
    """
    if sample.pixels is None:
        return load_image(sample.image, settings)
    return torch.from_numpy(scale_values(sample.image, sample.pixels, settings))


def require_files(samples: Iterable[Sample]) -> None:
    """Check that every image exists; a link may be broken.

    Raises:
        DataError: an image is missing.
    """
    for sample in samples:
        if sample.pixels is None and not sample.image.is_file():
            raise DataError(f"{sample.image}: the image is missing")


def multi_hot(tags: Sequence[int], classes: int) -> Tensor:
    """Return tags as a ``(C,)`` tensor of 0 and 1."""
    hot_C = torch.zeros(classes)
    hot_C[list(tags)] = 1.0
    return hot_C


def read_batches(loader: Iterable[Any]) -> Iterator[Any]:
    """Yield the batches of a loader; an error from a worker is raised again without the worker's traceback.

    Raises:
        Tag2MaskError: an item cannot be read.
    """
    try:
        yield from loader
    except Tag2MaskError as error:
        raise type(error)(str(error).rpartition(f"{type(error).__name__}: ")[2].strip()) from None


def no_views(image: Tensor) -> tuple[Tensor, ...]:
    """Return no further views of an image."""
    return ()


class TaggedImages(TorchDataset[tuple[Tensor, ...]]):
    """Images with known tags: ``(bands, S, S)`` after ``transform``, tags ``(C,)``, and the result of ``views``.

    The key of an item is (seed, index). Its random changes depend on nothing else, so any step can be repeated.
    """

    def __init__(
        self,
        root: Path | None,
        dataset: Dataset,
        settings: DataSettings,
        transform: Callable[[Tensor], Tensor],
        views: Callable[[Tensor], tuple[Tensor, ...]] = no_views,
    ) -> None:
        """Keep the tagged samples of the data folder ``root``, which is None for images in memory.

        Raises:
            DataError: no image has tags, an image is missing, or smaller copies cannot be written.
        """
        self.samples = [sample for sample in dataset if sample.tags is not None]
        if not self.samples:
            raise DataError("no image of this split has tags; training needs tags")
        if not any(sample.tags for sample in self.samples):
            raise DataError("all images of this split have empty lists of tags; training needs tags")
        require_files(self.samples)
        self.classes = len(dataset.classes)
        self.settings = settings
        self.transform = transform
        self.views = views
        self.copies = None
        if root is not None and settings.cache is not None:
            self.copies = SmallCopies(root, settings.cache, settings.bands)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, ...]:
        seed, index = key
        sample = self.samples[index]
        image = self.read(sample)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            crop = self.transform(image)  # first, so that it is the same with and without further views
            views = self.views(image)
        return crop, multi_hot(sample.tags or (), self.classes), *views

    def read(self, sample: Sample) -> Tensor:
        """Read ``(bands, Y, X)`` in [0, 1], from the smaller copy if the settings ask for copies."""
        if sample.pixels is not None or self.copies is None:
            return load_pixels(sample, self.settings)
        return torch.from_numpy(scale_values(sample.image, self.copies.read(sample), self.settings))
