"""The answers of a model, as numpy arrays that notebooks display.

Shapes: K pixel classes, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tag2mask.data import Classes
from tag2mask.masks.overlay import Picture, overlay
from tag2mask.masks.paint import normalise
from tag2mask.reports.pictures import data_uri, heat

FIGURE = (
    '<figure style="display:inline-block;vertical-align:top;margin:0 8px 8px 0"><img src="{}" alt="{}">'
    "<figcaption>{}</figcaption></figure>"
)
SWATCH = (
    '<span style="display:inline-block;width:1em;height:1em;background:rgb({},{},{});vertical-align:-0.1em"></span>'
)


class ShownLabels(np.ndarray[Any, np.dtype[Any]]):
    """A label image: a numpy array ``uint8`` or ``uint16 (Y, X)`` that notebooks show over its image, with a legend.

    Attributes:
        classes: The classes that the pixel values stand for; None for slices and results of arithmetic.
        picture: The image as ``uint8 (Y, X, 3)``; None for slices and results of arithmetic.
    """

    classes: Classes | None = None
    picture: Picture | None = None

    @classmethod
    def of(cls, labels: NDArray[Any], classes: Classes, picture: Picture) -> Self:
        """Make a label image from integers ``(Y, X)``, their classes and their image ``uint8 (Y, X, 3)``."""
        image = labels.astype(np.uint8 if classes.ignore == 255 else np.uint16).view(cls)
        image.classes, image.picture = classes, picture
        return image

    def __array_finalize__(self, other: object) -> None:
        """Drop classes and picture: slices and results of arithmetic belong to no image."""

    def _repr_html_(self) -> str | None:
        """Return HTML with the overlay and a legend of the classes that occur; None without an image."""
        if self.classes is None or self.picture is None or self.shape != self.picture.shape[:2]:
            return None
        values = np.asarray(self)
        picture = data_uri(overlay(self.picture, values, self.classes), 480)
        return FIGURE.format(picture, "mask over its image", legend(values, self.classes))


def legend(values: NDArray[Any], classes: Classes) -> str:
    """Return HTML with the colour, name and percentage of pixels of each class that occurs."""
    colours, names = classes.palette(), classes.pixel_names
    found, counts = np.unique(values, return_counts=True)
    parts = []
    for value, count in zip(found.tolist(), counts.tolist(), strict=True):
        name = names[value] if value < len(names) else "no class"
        swatch = SWATCH.format(*colours[min(value, 255)].tolist())
        parts.append(f"{swatch} {escape(name)} {100 * count / values.size:.0f} %")
    return " &nbsp; ".join(parts)


class ClassMaps(dict[str, NDArray[np.float32]]):
    """Class maps ``float32 (Y, X)`` by class name, which notebooks show over their image."""

    def __init__(self, maps: Mapping[str, NDArray[np.float32]], picture: Picture) -> None:
        super().__init__(maps)
        self.picture = picture

    def _repr_html_(self) -> str:
        """Return HTML with a heat map for each class."""
        return "".join(
            FIGURE.format(data_uri(heat(self.picture, normalise(map_YX)), 320), escape(name), escape(name))
            for name, map_YX in self.items()
        )
