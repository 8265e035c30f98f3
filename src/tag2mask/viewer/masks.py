"""The masks that are looked at: a mask set, or those that a run paints when they are asked for.

Shapes: Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from tag2mask.data import DataSettings, Sample, open_dataset
from tag2mask.errors import DataError, MaskSetError
from tag2mask.exporters.label_images import find_one_image, places_of_images
from tag2mask.masks.corrections import Origin
from tag2mask.masks.packed import labels_in
from tag2mask.masks.paint import Labels
from tag2mask.masks.scores import ONE
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import MaskSet, tags_of
from tag2mask.viewer.maps import ClassMaps, maps_of_shares
from tag2mask.viewer.pictures import Size, mask_size


class Masks(Protocol):
    """Masks by the name of their image."""

    origin: Origin

    def names(self) -> list[str]:
        """Names of the images, sorted."""

    def labels(self, name: str) -> Labels:
        """Label image ``(Y, X)``."""

    def size(self, name: str) -> Size:
        """Height and width."""

    def tags(self, name: str) -> Sequence[str]:
        """Names of the tags that the mask was painted with."""


class StoredMasks:
    """The masks of a mask set."""

    def __init__(self, masks: MaskSet) -> None:
        self.masks = masks
        self.origin = Origin(masks.path.resolve().name, masks.manifest_hash(), masks.classes)
        self.tags_of = tags_of(masks) if "image_tags" in masks.manifest else {}

    def names(self) -> list[str]:
        """Names of the images, sorted."""
        return self.masks.names()

    def labels(self, name: str) -> Labels:
        """Label image ``(Y, X)``."""
        return labels_in(self.masks.mask(name))

    def size(self, name: str) -> Size:
        """Height and width."""
        return mask_size(self.masks.mask(name))

    def tags(self, name: str) -> Sequence[str]:
        """Names of the tags that the mask was painted with."""
        return self.tags_of.get(name, ())


class StoredShares:
    """The scores of a mask set as maps."""

    def __init__(self, masks: MaskSet) -> None:
        """List the files of the scores.

        Raises:
            MaskSetError: some are missing.
        """
        settings = MaskSettings.parse(masks.manifest["settings"])
        self.paint = None if settings.refine.probable else settings.paint
        self.background = masks.classes.background is not None
        self.files = masks.scores(masks.names())

    def maps(self, name: str, values: Sequence[int]) -> ClassMaps:
        """Return the maps of an image with these tags."""
        shares_Shw = self.files[name].read().astype(np.float32) / np.float32(ONE)
        own = [value for value in self.files[name].values if value in values]
        return maps_of_shares(shares_Shw, own, self.background, self.paint)


@dataclass(frozen=True)
class Item:
    """An image: its mask's size, its split, and the pixel values of its tags."""

    name: str
    image: Path
    size: Size
    split: str
    tags: tuple[int, ...]
    truth: Path | None


def list_items(masks: Masks, samples: dict[str, Sample], splits: dict[str, str]) -> list[Item]:
    """Return the images of the masks, in the order of their names.

    Raises:
        DataError: an image is missing.
    """
    classes = masks.origin.classes
    values = {name: value for value, name in enumerate(classes.names, start=classes.offset)}
    items = []
    for name in masks.names():
        if name not in samples:
            raise DataError(f"{name}: its image was not found; name the data set with --data")
        sample = samples[name]
        tags = tuple(values[tag] for tag in masks.tags(name))
        items.append(Item(name, sample.image, masks.size(name), splits.get(name, ""), tags, sample.truth))
    return items


def samples_of(masks: MaskSet, data: Path | None, settings: DataSettings) -> dict[str, Sample]:
    """Return the images of a mask set by name, from the data set that it names or from ``data``.

    Raises:
        DataError: the data set cannot be opened.
        MaskSetError: the mask set names none.
    """
    place = data or (Path(masks.manifest["data"]) if "data" in masks.manifest else None)
    if place is not None:
        if not place.is_dir():
            raise DataError(f"{place}: the data set of {masks.path} is not there; name its new place with --data")
        return {sample.name: sample for sample in open_dataset(place, settings, None)}
    places = places_of_images(masks, None)
    if not places:
        raise MaskSetError(f"{masks.path} does not name the images that it was made from; name them with --data")
    found = ((name, next(filter(None, (find_one_image(one, name) for one in places)), None)) for name in masks.names())
    return {name: Sample(name, image) for name, image in found if image is not None}


def splits_of(data: Path | None, settings: DataSettings) -> dict[str, str]:
    """Return the split of each image of a data set that has lists of splits."""
    if data is None or not (data / "splits").is_dir():
        return {}
    found: dict[str, str] = {}
    for path in sorted((data / "splits").glob("*.txt")):
        found.update((sample.name, path.stem) for sample in open_dataset(data, settings, path.stem))
    return found
