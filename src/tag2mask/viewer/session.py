"""What the viewer shows: masks, their images, corrections, and what is known about them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from tag2mask.data import Classes, DataSettings
from tag2mask.data.reading import read_mask
from tag2mask.errors import DataError
from tag2mask.masks.corrections import Corrections
from tag2mask.masks.paint import Labels
from tag2mask.viewer.cache import Cache
from tag2mask.viewer.masks import Item, Masks

MASK_BYTES, PICTURE_BYTES = 2**26, 2**26  # held in memory


@dataclass(frozen=True)
class Session:
    """One call of ``tag2mask view``. Threads share it."""

    title: str
    kind: str
    masks: Masks
    items: Sequence[Item]
    corrections: Corrections
    data_settings: DataSettings
    compare: Masks | None = None
    compare_names: frozenset[str] = frozenset()
    held_labels: Cache[Labels] = field(default_factory=lambda: Cache(MASK_BYTES, lambda labels: labels.nbytes))
    held_bytes: Cache[bytes] = field(default_factory=lambda: Cache(PICTURE_BYTES, len))
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def classes(self) -> Classes:
        """The classes of the masks."""
        return self.masks.origin.classes

    @property
    def version(self) -> str:
        """A text that differs for other masks; addresses of pictures contain it."""
        origin = self.masks.origin
        return hashlib.sha256(f"{origin.mask_set}/{origin.key}".encode()).hexdigest()[:16]

    def original(self, item: Item) -> Labels:
        """The mask as it was painted, ``(Y, X)``."""
        return self.held_labels.get(("original", item.name), lambda: self.masks.labels(item.name))

    def current(self, item: Item) -> Labels:
        """The corrected mask if there is one, else the original, ``(Y, X)``."""
        corrected = self.corrections.labels(item.name)
        return self.original(item) if corrected is None else corrected

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

    def tags(self, item: Item) -> tuple[int, ...]:
        """Pixel values of the image's tags, as changed."""
        changed = self.corrections.tags(item.name)
        if changed is None:
            return item.tags
        return tuple(self.classes.pixel_names.index(name) for name in changed)


def of_size(labels: Labels, item: Item, what: str) -> Labels:
    """Return the labels if they are as large as the image's mask.

    Raises:
        DataError: they are not.
    """
    if labels.shape != item.size:
        raise DataError(f"{item.name}: {what} is {labels.shape}, but the mask is {item.size}")
    return labels
