"""Samples to tensors for training.

Shapes: C classes, S side of a crop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from tag2mask.data.reading import read_scaled
from tag2mask.data.sample import Dataset
from tag2mask.data.settings import DataSettings
from tag2mask.errors import DataError


def load_image(path: Path, settings: DataSettings) -> Tensor:
    """A photograph ``(bands, Y, X)`` in [0, 1].

    Raises:
        DataError: it cannot be read, or has another number of bands.
    """
    return torch.from_numpy(read_scaled(path, settings))


def multi_hot(tags: Sequence[int], classes: int) -> Tensor:
    """Tags as ``(C,)`` of 0 and 1."""
    hot_C = torch.zeros(classes)
    hot_C[list(tags)] = 1.0
    return hot_C


class TaggedImages(TorchDataset[tuple[Tensor, Tensor]]):
    """The photographs whose tags are known: ``(bands, S, S)`` after ``transform``, and tags ``(C,)``.

    An item is asked for as (seed, index): its random changes depend on nothing else, so any step can be repeated.
    """

    def __init__(self, dataset: Dataset, settings: DataSettings, transform: Callable[[Tensor], Tensor]) -> None:
        """Keep the tagged samples.

        Raises:
            DataError: there is none, or a photograph is missing.
        """
        self.samples = [sample for sample in dataset if sample.tags is not None]
        if not self.samples:
            raise DataError("no photograph of this split has tags; training learns from tags")
        for sample in self.samples:
            if not sample.image.is_file():
                raise DataError(f"{sample.image}: the photograph is missing")
        self.classes = len(dataset.classes)
        self.settings = settings
        self.transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        seed, index = key
        sample = self.samples[index]
        image = load_image(sample.image, self.settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            crop = self.transform(image)
        return crop, multi_hot(sample.tags or (), self.classes)
