"""The label images of a mask set, one after another, each with its photograph where that is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tag2mask.data.folder import find_images
from tag2mask.data.reading import read_mask
from tag2mask.errors import DataError, MaskSetError
from tag2mask.masks.write import MaskSet


@dataclass(frozen=True)
class LabelImage:
    """A mask: labels ``int64 (Y, X)``, and the photograph's file, None where it was not found."""

    name: str
    labels: NDArray[np.int64]
    photograph: Path | None


def read_label_images(mask_set: MaskSet, photographs: dict[str, Path]) -> Iterator[LabelImage]:
    """Every mask, in the order of names.

    Raises:
        DataError: a mask cannot be read.
        MaskSetError: a mask holds a value that is no class.
    """
    classes = mask_set.classes
    for name in mask_set.names():
        labels = read_mask(mask_set.mask(name))
        unknown = labels[(labels >= len(classes.pixel_names)) & (labels != classes.ignore)]
        if unknown.size:
            raise MaskSetError(f"{mask_set.mask(name)}: holds {unknown[0]}, which is none of the classes")
        yield LabelImage(name, labels, photographs.get(name))


def find_photographs(mask_set: MaskSet, images: Path | None) -> dict[str, Path]:
    """Photographs by name, in ``images`` or else where the mask set's photographs were.

    Raises:
        DataError: ``images`` is no folder, or holds two photographs of one name.
    """
    if images is not None:
        if not images.is_dir():
            raise DataError(f"{images}: there is no such folder; give the one that holds the photographs")
        return find_images(images)
    data = Path(mask_set.manifest.get("data", ""))
    folder = data / "images" if (data / "images").is_dir() else data
    return find_images(folder) if "data" in mask_set.manifest and folder.is_dir() else {}
