"""The label images of a mask set, one after another, each with its photograph where that is at hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tag2mask.data.folder import IMAGE_SUFFIXES
from tag2mask.data.reading import read_mask
from tag2mask.errors import MaskSetError
from tag2mask.masks.write import MaskSet


@dataclass(frozen=True)
class LabelImage:
    """A mask: labels ``int64 (Y, X)``, and the photograph's file, None where it was not found."""

    name: str
    labels: NDArray[np.int64]
    photograph: Path | None


def read_label_images(mask_set: MaskSet, images: Path | None) -> Iterator[LabelImage]:
    """Every mask, in the order of names; the photographs are in ``images``, or else where they were.

    Raises:
        DataError: a mask cannot be read.
        MaskSetError: a mask holds a value that is no class.
    """
    classes = mask_set.classes
    folder = images or photographs_folder(mask_set)
    for name in mask_set.names():
        labels = read_mask(mask_set.mask(name))
        unknown = labels[(labels >= len(classes.pixel_names)) & (labels != classes.ignore)]
        if unknown.size:
            raise MaskSetError(f"{mask_set.mask(name)}: holds {unknown[0]}, which is none of the classes")
        yield LabelImage(name, labels, find_photograph(folder, name))


def photographs_folder(mask_set: MaskSet) -> Path:
    """The folder that the masks' names start from; it may be gone."""
    data = Path(mask_set.manifest.get("data", ""))
    return data / "images" if (data / "images").is_dir() else data


def find_photograph(folder: Path, name: str) -> Path | None:
    """The photograph of that name, whatever its suffix."""
    suffixes = [spelled for suffix in sorted(IMAGE_SUFFIXES) for spelled in (suffix, suffix.upper())]
    candidates = (folder / f"{name}{suffix}" for suffix in suffixes)
    return next((path for path in candidates if path.is_file()), None)
