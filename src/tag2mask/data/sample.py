"""One image with what is known about it, and a list of such images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from tag2mask.data.classes import Classes


@dataclass(frozen=True)
class Sample:
    """One image.

    ``name`` is unique in the data set and names the mask (``masks/NAME.png``); it may contain ``/`` for sub-folders.
    ``tags`` are indices into ``Classes.names``; ``()`` is a known negative, ``None`` means unknown. ``truth`` is a
    label image for scoring; training never opens it. ``pixels (Y, X, bands)`` are the raw values of an image in memory;
    ``image`` then only identifies it.
    """

    name: str
    image: Path
    tags: tuple[int, ...] | None = None
    truth: Path | None = None
    pixels: NDArray[Any] | None = field(default=None, repr=False, compare=False)


class Dataset(Protocol):
    """A list of samples that knows its classes."""

    @property
    def classes(self) -> Classes:
        """The classes, which are the possible tags."""
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Sample: ...
    def __iter__(self) -> Iterator[Sample]: ...
