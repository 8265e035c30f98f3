"""The order in which to look at masks, computed in the background and kept beside the corrections."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from tag2mask.errors import Tag2MaskError
from tag2mask.files import write_json
from tag2mask.stored import Stored, read_stored
from tag2mask.viewer.ranking import Ranked, Signs, order

PAUSE = 10.0  # seconds between two writes of the file


class KnownSigns(Stored):
    """The signs of one image, as stored."""

    sure: float | None = None
    other: float | None = None
    views: float | None = None
    painted: float | None = None
    details: dict[str, str] | None = None

    def signs(self) -> Signs:
        """Return them for ranking."""
        return Signs(**self.model_dump())


class StoredQueue(Stored):
    """The content of ``queue.json``; ``key`` is what the signs depend on."""

    key: str
    signs: dict[str, KnownSigns]


@dataclass(frozen=True)
class Facts:
    """What is true of one version of a mask: the classes in it, and its IoU if there is truth.

    ``pixels`` counts by (class in the other mask, class here), for the true and the compared mask, if there are any.
    """

    mask: str
    present: tuple[int, ...]
    iou: float | None
    pixels: Mapping[str, Mapping[tuple[int, int], int]]


class Named(Protocol):
    """An image."""

    @property
    def name(self) -> str:
        """Its name."""


N = TypeVar("N", bound=Named)
T = TypeVar("T")


class Queue:
    """Signs and facts by the name of an image; a thread collects them."""

    def __init__(self, path: Path, key: str, total: int) -> None:
        """Read what ``path`` holds if it was written for the same ``key``."""
        self.path, self.key, self.total = path, key, total
        self.signs: dict[str, Signs] = read_signs(path, key)
        self.facts: dict[str, Facts] = {}
        self.failed: set[str] = set()
        self.stopping = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self, items: Sequence[N], look: Callable[[N], Facts], judge: Callable[[N], Signs]) -> None:
        """Start a thread that collects the facts about all images, then the signs that are missing."""
        self.thread = threading.Thread(target=self.collect, args=(items, look, judge), name="queue", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """Stop the thread after the image at hand."""
        self.stopping.set()
        if self.thread is not None:
            self.thread.join()

    def collect(self, items: Sequence[N], look: Callable[[N], Facts], judge: Callable[[N], Signs]) -> None:
        """Collect facts and signs, and write the signs from time to time."""
        for item in items:
            self.note(item, look, self.facts)
        missing, written = [item for item in items if item.name not in self.signs], time.monotonic()
        for item in missing:
            self.note(item, judge, self.signs)
            if time.monotonic() - written > PAUSE:
                self.write()
                written = time.monotonic()
        if missing:
            self.write()

    def note(self, item: N, work: Callable[[N], T], into: dict[str, T]) -> None:
        """Do the work for one image unless the thread is to stop; an image that fails is remembered."""
        if self.stopping.is_set():
            return
        try:
            into[item.name] = work(item)
        except Exception as error:  # one image fails, the others still get their signs
            report_failure(item.name, error)
            self.failed.add(item.name)

    def write(self) -> None:
        """Write what is known."""
        signs = {name: KnownSigns(**vars(one)) for name, one in list(self.signs.items())}
        content = StoredQueue(key=self.key, signs=signs).model_dump(exclude_none=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, content)

    def done(self) -> int:
        """Number of images that are judged, or cannot be."""
        return len(self.signs.keys() | self.failed)

    def ranked(self) -> dict[str, Ranked]:
        """Return the ranks known so far."""
        signs = dict(self.signs)
        return dict(zip(signs, order(list(signs.values())), strict=True))


def report_failure(name: str, error: Exception) -> None:
    """Say on the terminal why an image failed."""
    print(f"{name}: {error}", file=sys.stderr, flush=True)  # noqa: T201


def read_signs(path: Path, key: str) -> dict[str, Signs]:
    """Read stored signs; those of other masks and damaged files count as none, since they can be computed again."""
    if not path.is_file():
        return {}
    try:
        stored = read_stored(path, StoredQueue)
    except Tag2MaskError:
        return {}
    return {name: one.signs() for name, one in stored.signs.items()} if stored.key == key else {}
