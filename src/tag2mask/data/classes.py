"""What the classes are called and which pixel value each one has in a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from tag2mask.stored import Stored, validate


def voc_colours(count: int) -> np.ndarray:
    """VOC's colours of 0 to ``count - 1``, ``uint8 (count, 3)``; black is 0."""
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

    Tag ``c`` (0 to C-1) is pixel value ``c`` in a mask without background and ``c + 1`` with one: background is 0.
    """

    names: tuple[str, ...]
    background: str | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def offset(self) -> int:
        """Pixel value of tag 0."""
        return 0 if self.background is None else 1

    @property
    def pixel_names(self) -> tuple[str, ...]:
        """Names by pixel value, background first if there is one."""
        return self.names if self.background is None else (self.background, *self.names)

    @property
    def ignore(self) -> int:
        """Pixel value that stands for no class: 255, or 65535 where 8 bits are too few for the classes."""
        return 255 if len(self.pixel_names) <= 255 else 65535

    def foreign(self, labels: NDArray[Any]) -> NDArray[Any]:
        """The values of a label image that are neither a class nor ignore, in the order of its pixels."""
        known = (labels >= 0) & (labels < len(self.pixel_names)) | (labels == self.ignore)
        return np.asarray(labels[~known])

    def colours(self, count: int) -> np.ndarray:
        """Colours of the first ``count`` pixel values, ``uint8 (count, 3)``; black is background's alone."""
        return voc_colours(count) if self.background is not None else voc_colours(count + 1)[1:]

    def palette(self) -> np.ndarray:
        """Colours of 8-bit masks, ``uint8 (256, 3)``; 255, ignore, is light grey."""
        colours = self.colours(256)
        colours[255] = (224, 224, 192)
        return colours

    def to_json(self) -> dict[str, Any]:
        """The content of ``classes.json``."""
        return {"names": list(self.names), "background": self.background, "ignore": self.ignore}

    @classmethod
    def from_json(cls, content: Any) -> Classes:
        """Read back what ``to_json`` gave.

        Raises:
            ValueError: it is something else.
        """
        stored = validate(StoredClasses, content)
        return cls(tuple(stored.names), stored.background)


class StoredClasses(Stored):
    """The content of ``classes.json``."""

    names: Annotated[list[str], Field(min_length=1)]
    background: str | None

    @field_validator("names")
    @classmethod
    def distinct(cls, names: list[str]) -> list[str]:
        """No name stands twice."""
        if len(set(names)) < len(names):
            raise ValueError("a name stands there twice")
        return names
