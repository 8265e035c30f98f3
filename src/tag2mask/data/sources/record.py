"""What every source gives: its classes, its lists, and one image after the other.

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

    ``tags`` are indices into ``Classes.names``; ``()`` is a known negative, ``None`` means that nothing is known.
    ``truth`` draws the label image ``(Y, X)`` in the pixel values of ``Classes``; only scoring and ``prepare`` ask.
    ``compose`` joins the image, a GeoTIFF, where the source has it in several files; ``image`` is the first.
    ``content`` is the encoded image where the source has it inside another file; ``image`` then only says where.
    """

    name: str
    image: Path
    tags: tuple[int, ...] | None
    truth: Callable[[], LabelImage] | None = None
    compose: Callable[[], NDArray[Any]] | None = None
    content: bytes | None = None

    def pixels(self, bands: int) -> NDArray[Any]:
        """The image, ``(Y, X, bands)``.

        Raises:
            DataError: it cannot be read, or has another number of bands.
        """
        return read_image(self.image, bands, self.content) if self.compose is None else self.compose()

    @property
    def suffix(self) -> str:
        """Of the image's file."""
        return self.image.suffix if self.content is None else suffix_of(self.image, self.content)

    def encoded(self) -> bytes:
        """The image's file; of several, the first."""
        return self.image.read_bytes() if self.content is None else self.content


class Source(ABC):
    """A data set in somebody's layout. Opening reads lists and tables; pixels are read when a record is asked for.

    ``layout`` says on one line what is expected where; errors quote it. ``bands`` are the images' channels.
    """

    layout: ClassVar[str]
    settings_class: ClassVar[type[Settings]] = Settings
    bands: int = 3

    settings: Settings
    classes: Classes
    splits: Mapping[str, Sequence[str]]

    @abstractmethod
    def __init__(self, root: Path, settings: Settings) -> None:
        """Find the parts below ``root``; ``settings`` are of ``settings_class``.

        Raises:
            DataError: ``root`` does not hold the layout.
        """

    @abstractmethod
    def names(self) -> Sequence[str]:
        """All images, in a fixed order; those of the lists come with them."""

    @abstractmethod
    def record(self, name: str) -> Record:
        """One image.

        Raises:
            DataError: a file of this image is missing or cannot be read.
        """

    def data_settings(self) -> DataSettings:
        """How the images are to be read: what ``dataset.yaml`` will say."""
        return DataSettings(bands=self.bands)

    def published(self) -> Mapping[str, Sequence[int]]:
        """Images per class as published, by split, for ``check`` to compare with."""
        return {}


def require_layout(root: Path, needed: Iterable[str], layout: str) -> None:
    """Everything that ``needed`` names is below ``root``.

    Raises:
        DataError: something is not; the layout is told.
    """
    missing = [name for name in needed if not (root / name).exists()]
    if missing:
        raise DataError(f"{root / missing[0]} is missing; expected: {layout}")


def tags_in(labels: LabelImage, classes: Classes) -> tuple[int, ...]:
    """The tags that a label image ``(Y, X)`` shows; any pixel counts."""
    values = np.unique(labels).tolist()
    return tuple(value - classes.offset for value in values if classes.offset <= value < len(classes.pixel_names))


def require_values(path: Path, labels: LabelImage, classes: Classes) -> LabelImage:
    """The label image, if it holds nothing but the classes' pixel values and ignore.

    Raises:
        DataError: another value.
    """
    foreign = classes.foreign(labels)
    if foreign.size:
        raise DataError(f"{path}: holds {foreign[0]}, which is no class of {len(classes.pixel_names)}")
    return labels
