"""The label images of a mask set, one after another, each with its image if that is found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tag2mask.data.folder import IMAGE_SUFFIXES, images_folder, strip_suffix
from tag2mask.errors import MaskSetError
from tag2mask.files import is_file
from tag2mask.masks.packed import labels_in
from tag2mask.masks.write import MaskSet


@dataclass(frozen=True)
class LabelImage:
    """A mask: labels ``int64 (Y, X)``, and the image's file, None if it was not found.

    ``suffix`` is that of the file, or the one given for missing images, which may be None.
    """

    name: str
    labels: NDArray[np.int64]
    path: Path | None
    suffix: str | None


def read_label_images(mask_set: MaskSet, images: Path | None, suffix: str | None) -> Iterator[LabelImage]:
    """Yield every mask in name order, with its image from ``images``, or else from its original place.

    ``suffix`` is assumed for images that are not found.

    Raises:
        DataError: a mask cannot be read.
        MaskSetError: a mask holds a value that is not a class.
    """
    classes = mask_set.classes
    places = places_of_images(mask_set, images)
    for name in mask_set.names():
        labels = labels_in(mask_set.mask(name))
        unknown = classes.foreign(labels)
        if unknown.size:
            raise MaskSetError(f"{mask_set.mask(name)}: holds the value {unknown[0]}, which is not a class")
        found = next((path for place in places if (path := find_one_image(place, name))), None)
        yield LabelImage(name, labels, found, suffix if found is None else found.suffix)


def places_of_images(mask_set: MaskSet, images: Path | None) -> list[Path]:
    """Return the folders that mask names are relative to, and single images; only ``images`` is known to exist."""
    if images is not None:
        return [images]
    manifest = mask_set.manifest
    if "data" in manifest:
        return [images_folder(Path(manifest["data"]))]
    predicted = manifest.get("photographs")
    return [Path(path) for path in predicted] if isinstance(predicted, list) else []


def find_one_image(place: Path, name: str) -> Path | None:
    """Return the image of that name with any suffix, at ``place`` itself or below it, or None."""
    if place.is_file():
        return place if strip_suffix(place.name) == name else None
    suffixes = [spelled for suffix in sorted(IMAGE_SUFFIXES) for spelled in (suffix, suffix.upper(), suffix.title())]
    candidates = (place / f"{name}{suffix}" for suffix in suffixes)
    return next((path for path in candidates if is_file(path)), None)
