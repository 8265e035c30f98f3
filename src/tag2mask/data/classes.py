"""The names of the classes, and the pixel value of each in a mask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from tag2mask.errors import DataError
from tag2mask.stored import Stored, validate

BACKGROUND = "background"


def voc_colours(count: int) -> np.ndarray:
    """Return VOC's colours of the values 0 to ``count - 1``, ``uint8 (count, 3)``; 0 is black."""
    colours = np.zeros((count, 3), np.uint8)
    for value in range(count):
        bits = value
        for shift in range(7, -1, -1):
            colours[value] |= np.array([bits & 1, bits >> 1 & 1, bits >> 2 & 1], np.uint8) << shift
            bits >>= 3
    return colours


@dataclass(frozen=True)
class Classes:
    """The tags of a data set, in index order, and the background if the data set has one.

    Tag ``c`` (0 to C-1) has pixel value ``c`` in masks without background. With a background, the background is 0 and
    tag ``c`` is ``c + 1``.
    """

    names: tuple[str, ...]
    background: str | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def offset(self) -> int:
        """Pixel value of tag 0."""
        return 0 if self.background is None else 1

    def values(self, tags: Iterable[int]) -> list[int]:
        """Pixel values that an image with these tags may show: the background's first, if there is one."""
        return [*range(self.offset), *(tag + self.offset for tag in tags)]

    @property
    def pixel_names(self) -> tuple[str, ...]:
        """Names by pixel value, background first if there is one."""
        return self.names if self.background is None else (self.background, *self.names)

    @property
    def ignore(self) -> int:
        """Pixel value that is ignored: 255, or 65535 where 8 bits are too few for the classes."""
        return 255 if len(self.pixel_names) <= 255 else 65535

    def foreign(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return the values of a label image that are neither a class nor ignore, in pixel order."""
        known = (labels >= 0) & (labels < len(self.pixel_names)) | (labels == self.ignore)
        return np.asarray(labels[~known])

    def colours(self, count: int) -> np.ndarray:
        """Return the colours of the first ``count`` pixel values, ``uint8 (count, 3)``; only background is black."""
        return voc_colours(count) if self.background is not None else voc_colours(count + 1)[1:]

    def palette(self) -> np.ndarray:
        """Return the colours of 8-bit masks, ``uint8 (256, 3)``; 255, ignore, is light grey."""
        colours = self.colours(256)
        colours[255] = (224, 224, 192)
        return colours

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``classes.json``."""
        return {"names": list(self.names), "background": self.background, "ignore": self.ignore}

    @classmethod
    def from_json(cls, content: Any) -> Classes:
        """Restore classes from the content that ``to_json`` returned.

        Raises:
            ValueError: the content is something else.
        """
        stored = validate(StoredClasses, content)
        return cls(tuple(stored.names), stored.background)


def parse_classes(names: Sequence[str], where: str | Path) -> Classes:
    """Return the classes of a list of names; if the first is ``background``, it is the background.

    Raises:
        DataError: the list is empty, or a name is repeated or cannot be a class; ``where`` names the list.
    """
    background = BACKGROUND if names and names[0] == BACKGROUND else None
    found = tuple(names if background is None else names[1:])
    if not found:
        raise DataError(f"{where}: names no class; write one class per line")
    seen = {background}
    for name in found:
        if not isinstance(name, str) or name != name.strip() or not name:
            raise DataError(f"{where}: {name!r} is not the name of a class; use text without spaces around it")
        if name in seen:
            raise DataError(f"{where}: {name} is listed twice; write each class once")
        seen.add(name)
        if ";" in name:
            raise DataError(f"{where}: {name} contains a ;, which separates tags; rename the class")
    return Classes(found, background)


class StoredClasses(Stored):
    """The content of ``classes.json``."""

    names: Annotated[list[str], Field(min_length=1)]
    background: str | None

    @field_validator("names")
    @classmethod
    def distinct(cls, names: list[str]) -> list[str]:
        """Check that no name is repeated."""
        if len(set(names)) < len(names):
            raise ValueError("a name is repeated")
        return names
