"""The interface of sources: classes, split lists and records of images.

Shapes: Y X pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tag2mask.data.classes import Classes
from tag2mask.data.reading import read_image, suffix_of
from tag2mask.data.settings import DataSettings
from tag2mask.errors import DataError
from tag2mask.settings import Settings

LabelImage = NDArray[np.int64]


@dataclass(frozen=True)
class Record:
    """One image of a source.

    ``tags`` are indices into ``Classes.names``; ``()`` is a known negative, ``None`` means unknown. ``truth`` draws the
    label image ``(Y, X)`` in the pixel values of ``Classes``; only ``check`` and ``prepare`` call it. ``compose``
    joins an image stored in several GeoTIFFs; ``image`` is then the first of them. ``content`` is an encoded image
    stored inside another file; ``image`` then only locates it.
    """

    name: str
    image: Path
    tags: tuple[int, ...] | None
    truth: Callable[[], LabelImage] | None = None
    compose: Callable[[], NDArray[Any]] | None = None
    content: bytes | None = None

    def pixels(self, bands: int) -> NDArray[Any]:
        """Read the image, ``(Y, X, bands)``.

        Raises:
            DataError: it cannot be read, or has another number of bands.
        """
        return read_image(self.image, bands, self.content) if self.compose is None else self.compose()

    @property
    def suffix(self) -> str:
        """The suffix of the image's file."""
        return self.image.suffix if self.content is None else suffix_of(self.image, self.content)

    def encoded(self) -> bytes:
        """Return the bytes of the image's file; of several files, the first."""
        return self.image.read_bytes() if self.content is None else self.content


class Source(ABC):
    """A data set in some layout. Opening it reads lists and tables; pixels are read with each record.

    ``layout`` describes the expected files in one line, for error messages. ``bands`` is the number of channels.
    """

    layout: ClassVar[str]
    settings_class: ClassVar[type[Settings]] = Settings
    bands: int = 3

    settings: Settings
    classes: Classes
    splits: Mapping[str, Sequence[str]]

    @abstractmethod
    def __init__(self, root: Path, settings: Settings) -> None:
        """Find the files below ``root``; ``settings`` is a ``settings_class``.

        Raises:
            DataError: ``root`` does not have the layout.
        """

    @abstractmethod
    def names(self) -> Sequence[str]:
        """Return all images in a fixed order, including those of all split lists."""

    @abstractmethod
    def record(self, name: str) -> Record:
        """Return one image.

        Raises:
            DataError: a file of this image is missing or cannot be read.
        """

    def data_settings(self) -> DataSettings:
        """Return how to read the images, for ``dataset.yaml``."""
        return DataSettings(bands=self.bands)

    def published(self) -> Mapping[str, Sequence[int]]:
        """Return published numbers of images per class, by split, which ``check`` compares with."""
        return {}


def require_layout(root: Path, needed: Iterable[str], layout: str) -> None:
    """Check that everything in ``needed`` exists below ``root``.

    Raises:
        DataError: something is missing; the message describes the layout.
    """
    missing = [name for name in needed if not (root / name).exists()]
    if missing:
        raise DataError(f"{root / missing[0]} is missing; expected: {layout}")


def tags_in(labels: LabelImage, classes: Classes) -> tuple[int, ...]:
    """Return the tags that occur in a label image ``(Y, X)``, even in a single pixel."""
    values = np.unique(labels).tolist()
    return tuple(value - classes.offset for value in values if classes.offset <= value < len(classes.pixel_names))


def require_values(path: Path, labels: LabelImage, classes: Classes) -> LabelImage:
    """Check that a label image holds only the pixel values of classes and ignore, and return it.

    Raises:
        DataError: it holds another value.
    """
    foreign = classes.foreign(labels)
    if foreign.size:
        raise DataError(f"{path}: holds the value {foreign[0]}, which is none of {len(classes.pixel_names)} classes")
    return labels
