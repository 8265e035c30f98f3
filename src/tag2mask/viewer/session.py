"""What the viewer shows: masks, their images, corrections, and the model behind the masks.

Shapes: D width of features, S planes, h w patch grid, Y X pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tag2mask.data import Classes, DataSettings
from tag2mask.data.reading import read_mask
from tag2mask.errors import DataError
from tag2mask.inference.arrays import Floats
from tag2mask.masks.corrections import Corrections
from tag2mask.masks.paint import Labels
from tag2mask.viewer.cache import Cache
from tag2mask.viewer.jobs import Jobs
from tag2mask.viewer.maps import ClassMaps, paint_maps
from tag2mask.viewer.masks import Item, Masks, StoredShares
from tag2mask.viewer.models import Model
from tag2mask.viewer.pace import Pace
from tag2mask.viewer.queue import Queue

MASK_BYTES, PICTURE_BYTES, MAP_BYTES, FEATURE_BYTES = 2**26, 2**26, 2**26, 2**27  # held in memory


@dataclass(frozen=True)
class Held:
    """What was read or computed last, each up to a limit."""

    labels: Cache[Labels] = field(default_factory=lambda: Cache(MASK_BYTES, lambda labels: labels.nbytes))
    pictures: Cache[bytes] = field(default_factory=lambda: Cache(PICTURE_BYTES, len))
    maps: Cache[ClassMaps] = field(default_factory=lambda: Cache(MAP_BYTES, lambda maps: maps.nbytes))
    features: Cache[Floats] = field(default_factory=lambda: Cache(FEATURE_BYTES, lambda features: features.nbytes))


@dataclass(frozen=True)
class Session:
    """One call of ``tag2mask view``. Threads share it.

    ``shares`` are the stored scores of the masks, ``model`` is what painted them; either may be missing.
    ``no_model`` says why there is no model. ``student`` is a segmenter that learned from the masks.
    """

    title: str
    kind: str
    masks: Masks
    items: Sequence[Item]
    corrections: Corrections
    queue: Queue
    data_settings: DataSettings
    compare: Masks | None = None
    compare_names: frozenset[str] = frozenset()
    shares: StoredShares | None = None
    model: Model | None = None
    no_model: str = ""
    student: Model | None = None
    held: Held = field(default_factory=Held)
    jobs: Jobs = field(default_factory=Jobs)
    pace: Pace = field(default_factory=Pace)

    @property
    def classes(self) -> Classes:
        """The classes of the masks."""
        return self.masks.origin.classes

    def close(self) -> None:
        """Stop the work in the background."""
        self.queue.close()
        self.jobs.close()

    @property
    def version(self) -> str:
        """A text that differs for other masks; addresses of pictures contain it."""
        origin = self.masks.origin
        return hashlib.sha256(f"{origin.mask_set}/{origin.key}".encode()).hexdigest()[:16]

    def original(self, item: Item) -> Labels:
        """The mask as it was painted, ``(Y, X)``."""
        return self.held.labels.get(item.name, lambda: self.masks.labels(item.name))

    def current(self, item: Item) -> Labels:
        """The corrected mask if there is one, else the original, ``(Y, X)``."""
        corrected = self.corrections.labels(item.name)
        return self.original(item) if corrected is None else of_size(corrected, item, "the corrected mask")

    def truth(self, item: Item) -> Labels:
        """The true mask ``(Y, X)``.

        Raises:
            DataError: there is none.
        """
        if item.truth is None:
            raise DataError(f"{item.name} has no true mask")
        return of_size(read_mask(item.truth), item, "the true mask")

    def compared(self, item: Item) -> Labels:
        """The mask of the set to compare with, ``(Y, X)``.

        Raises:
            DataError: there is none.
        """
        if self.compare is None or item.name not in self.compare_names:
            raise DataError(f"{item.name} has no mask to compare with")
        return of_size(self.compare.labels(item.name), item, "the mask to compare with")

    def is_open(self, item: Item) -> bool:
        """Whether nobody has accepted or rejected the image."""
        return self.corrections.state(item.name) == "open"

    def present(self, labels: Labels) -> list[int]:
        """Return the classes in a label image, except the background and ignore."""
        counts = np.bincount(labels.ravel(), minlength=len(self.classes.pixel_names))[: len(self.classes.pixel_names)]
        return [value for value in np.flatnonzero(counts).tolist() if value >= self.classes.offset]

    def tags(self, item: Item) -> tuple[int, ...]:
        """Pixel values of the image's tags, as changed."""
        changed = self.corrections.tags(item.name)
        if changed is None:
            return item.tags
        return tuple(self.classes.pixel_names.index(name) for name in changed)

    def maps(self, item: Item, values: Sequence[int]) -> ClassMaps:
        """Return the maps of the classes with these pixel values: stored ones if they are enough.

        Raises:
            DataError: they are not stored, and there is no model.
        """
        values = tuple(sorted(values))
        if not values:
            return ClassMaps((), np.zeros((0, 1, 1), np.float32), (), "none", False)
        if self.shares is not None and (self.model is None or set(values) <= set(item.tags)):
            return self.held.maps.get((item.name, "stored"), lambda: self.stored_maps(item))
        model = self.require_model()
        tags = [value - self.classes.offset for value in values]
        return self.held.maps.get((item.name, values), lambda: model.maps(item.image, tags))

    def stored_maps(self, item: Item) -> ClassMaps:
        """Return the stored maps of an image."""
        assert self.shares is not None
        return self.shares.maps(item.name, item.tags)

    def attention(self, item: Item, values: Sequence[int], layer: int, head: int | None) -> ClassMaps:
        """Return what class tokens attend to in one layer of the model."""
        model = self.require_model()
        tags = [value - self.classes.offset for value in values]
        key = (item.name, tuple(values), layer, head)
        return self.held.maps.get(key, lambda: model.attention(item.image, tags, layer, head))

    def features(self, item: Item) -> Floats:
        """Return the features of an image's patches ``(h, w, D)``."""
        model = self.require_model()
        return self.held.features.get(item.name, lambda: model.features(item.image))

    def require_model(self) -> Model:
        """Return the model.

        Raises:
            DataError: there is none.
        """
        if self.model is None:
            raise DataError(f"there is no model to compute this with: {self.no_model}")
        return self.model

    def repaint(self, item: Item, values: Sequence[int], thresholds: Mapping[int, float]) -> Labels:
        """Paint an image anew with these tags and thresholds; touched pixels stay.

        Raises:
            DataError: there are no maps of these classes.
        """
        maps = self.maps(item, values)
        places = [index for index, value in enumerate(maps.values) if value in values]
        lost = set(values) - set(maps.values)
        if lost:
            names = ", ".join(self.classes.pixel_names[value] for value in sorted(lost))
            raise DataError(f"{item.name} has no stored map of {names}, and {self.no_model}")
        labels = paint_maps(maps.only(places), item.size, {**self.saved_thresholds(), **thresholds}, self.classes)
        touched = self.corrections.touched(item.name)
        return labels if touched is None else np.where(touched, self.current(item), labels)

    def saved_thresholds(self) -> dict[int, float]:
        """Return the saved thresholds by pixel value."""
        return {
            self.classes.pixel_names.index(name): value
            for name, value in self.corrections.thresholds.items()
            if name in self.classes.pixel_names
        }


def of_size(labels: Labels, item: Item, what: str) -> Labels:
    """Return the labels if they are as large as the image's mask.

    Raises:
        DataError: they are not.
    """
    if labels.shape != item.size:
        raise DataError(f"{item.name}: {what} is {labels.shape}, but the mask is {item.size}")
    return labels
