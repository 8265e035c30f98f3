"""The basic data set: a tuple of samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tag2mask.data.classes import Classes
from tag2mask.data.sample import Sample


@dataclass(frozen=True)
class ListDataset:
    """A tuple of samples that knows its classes."""

    classes: Classes
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)
