"""Samples to tensors for training.

Shapes: C classes, S side of a crop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from tag2mask.data.reading import read_image, to_float
from tag2mask.data.sample import Dataset
from tag2mask.errors import DataError


def multi_hot(tags: Sequence[int], classes: int) -> Tensor:
    """Tags as ``(C,)`` of 0 and 1."""
    hot_C = torch.zeros(classes)
    hot_C[list(tags)] = 1.0
    return hot_C


class TaggedImages(TorchDataset[tuple[Tensor, Tensor]]):
    """The photographs whose tags are known: ``(bands, S, S)`` after ``transform``, and tags ``(C,)``.

    An item is asked for as (seed, index): its random changes depend on nothing else, so any step can be repeated.
    """

    def __init__(self, dataset: Dataset, bands: int, transform: Callable[[Tensor], Tensor]) -> None:
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
        self.bands = bands
        self.transform = transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        seed, index = key
        sample = self.samples[index]
        image = to_float(read_image(sample.image, self.bands))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            crop = self.transform(image)
        return crop, multi_hot(sample.tags or (), self.classes)
