"""Corrections of a mask set by people, in a folder beside it. The masks themselves are never changed.

::

    MASKSET-corrections/
        masks/NAME.png      the corrected mask, as in a mask set
        touched/NAME.png    8-bit gray, 255 where a person set or confirmed the class, else 0
        corrections.json    by image: state, changed tags, version, who and when
        pending/            the files of a save that is not finished
        queue.json          the order in which the viewer shows the images

A save first writes its files to ``pending``; the last of them, ``save.json``, decides that it happened. Then the files
move to their places. After a kill, opening the folder finishes such a save or forgets it, so mask, touched pixels and
record always belong together. Shapes: Y X pixels.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from tag2mask.data import Classes
from tag2mask.data.reading import read_mask
from tag2mask.data.writing import mask_png
from tag2mask.errors import MaskSetError, RunError
from tag2mask.files import delete, held, sync_one, write_json, write_synced
from tag2mask.masks.packed import InMemory
from tag2mask.masks.paint import Labels
from tag2mask.names import inside
from tag2mask.stored import Count, Number, Stored, damaged, read_stored

RECORD, MASKS, TOUCHED, PENDING, SAVE = "corrections.json", "masks", "touched", "pending", "save.json"
QUEUE = "queue.json"  # the order in which to look at images, written by the viewer
YES = 255  # stored value of a touched pixel
TRIES, WAIT = 50, 0.05  # to read while a viewer saves; seconds between two tries

State = Literal["open", "accepted", "rejected"]
STATES: tuple[State, ...] = ("open", "accepted", "rejected")
Touched = NDArray[np.bool_]


class StaleError(MaskSetError):
    """The image was changed since the version that a change was based on; ``current`` is its version now."""

    def __init__(self, name: str, current: str) -> None:
        super().__init__(f"{name} was changed in the meantime; load it again")
        self.current = current


class Row(Stored):
    """What is known about one image; ``tags`` is None unless they were changed, ``touched`` counts pixels.

    ``etag`` changes with every save, ``mask`` with the corrected mask; it is empty if there is none.
    """

    state: State = "open"
    mask: str = ""
    touched: Count = 0
    tags: list[str] | None = None
    etag: str
    who: str
    when: str


class Saved(Stored):
    """A save that has been decided: ``pending/save.json``."""

    name: str
    row: Row


class Record(Stored):
    """The content of ``corrections.json``."""

    mask_set: str
    masks_key: str
    names: list[str]
    background: str | None
    thresholds: dict[str, Number] = Field(default_factory=dict)
    images: dict[str, Row] = Field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """The masks that are corrected: their folder's name, a key that changes with them, and their classes."""

    mask_set: str
    key: str
    classes: Classes


@dataclass(frozen=True)
class Corrected:
    """Corrections as they were at one moment, read into memory.

    ``masks`` and ``touched`` are files by name of the image, ``tags`` the changed tags. ``sha256`` is that of the
    record.
    """

    path: Path
    masks: Mapping[str, InMemory]
    touched: Mapping[str, InMemory]
    tags: Mapping[str, list[str]]
    rejected: frozenset[str]
    people: tuple[str, ...]
    sha256: str

    def origin(self, names: Collection[str]) -> dict[str, Any]:
        """Return the entry for a manifest of something made from the masks of ``names``."""
        return {
            "path": str(self.path.resolve()),
            "sha256": self.sha256,
            "corrected": len(self.masks.keys() & set(names)),
            "rejected": len(self.rejected & set(names)),
            "people": list(self.people),
        }


class Corrections:
    """Corrections of one mask set, opened for reading and writing. Threads may share it; processes may not."""

    def __init__(self, path: Path, origin: Origin, who: str = "unknown") -> None:
        """Open ``path``, or begin it when the first change is saved.

        Raises:
            MaskSetError: it holds something else, is damaged, or corrects masks with other classes.
        """
        self.path, self.origin, self.who = path, origin, who
        self.lock = threading.RLock()
        self.rows: dict[str, Row] = {}
        self.thresholds: dict[str, float] = {}
        if (path / RECORD).exists():
            record = read_record(path, origin.classes)
            self.rows, self.thresholds = dict(record.images), dict(record.thresholds)
        elif path.exists() and any(one.name[0] != "." and one.name not in (PENDING, QUEUE) for one in path.iterdir()):
            raise MaskSetError(f"{path} is not empty and holds no {RECORD}; choose another folder for corrections")
        self.recover()

    def etag(self, name: str) -> str:
        """Return the version of an image; it changes with every save."""
        row = self.rows.get(name)
        return first_etag(self.origin.key, name) if row is None else row.etag

    def state(self, name: str) -> State:
        """Return whether the image is open, accepted or rejected."""
        row = self.rows.get(name)
        return "open" if row is None else row.state

    def mask_key(self, name: str) -> str:
        """Return a text that changes with the corrected mask, empty if there is none."""
        row = self.rows.get(name)
        return "" if row is None else row.mask

    def is_corrected(self, name: str) -> bool:
        """Whether there is a corrected mask."""
        return bool(self.mask_key(name))

    def tags(self, name: str) -> list[str] | None:
        """Return the changed tags of an image, None if they were not changed."""
        row = self.rows.get(name)
        return None if row is None else row.tags

    def labels(self, name: str) -> Labels | None:
        """Return the corrected mask ``(Y, X)``, None if there is none."""
        with self.lock:
            return read_mask(corrected_path(self.path, name)) if self.is_corrected(name) else None

    def touched(self, name: str) -> Touched | None:
        """Return the touched pixels ``(Y, X)``, None if the mask was not corrected."""
        with self.lock:
            return read_mask(touched_path(self.path, name)) == YES if self.is_corrected(name) else None

    def save_mask(
        self,
        name: str,
        labels: Labels,
        touched: Touched,
        expected: str,
        state: State | None = None,
        tags: Sequence[str] | None = None,
    ) -> Row:
        """Save a corrected mask ``(Y, X)``, and its state and tags if given.

        Raises:
            StaleError: ``expected`` is no longer the version of the image.
            MaskSetError: the mask holds a value that is not a class.
        """
        classes = self.origin.classes
        foreign = classes.foreign(labels)
        if foreign.size:
            raise MaskSetError(f"{name}: the mask holds the value {foreign[0]}, which is not a class")
        corrected_path(self.path, name)  # before anything is written
        if labels.shape != touched.shape:
            raise MaskSetError(f"{name}: the mask is {labels.shape}, but the touched pixels are {touched.shape}")
        contents = {MASKS: mask_png(labels, classes), TOUCHED: touched_png(touched)}
        mask = hashlib.sha256(contents[MASKS]).hexdigest()[:16]
        changes = {"mask": mask, "touched": int(touched.sum()), "state": state, "tags": tags}
        with self.lock:
            row = self.next_row(name, expected, changes, contents)
            pending = self.path / PENDING
            pending.mkdir(parents=True, exist_ok=True)
            for kind, content in contents.items():
                write_synced(pending / f"{kind}.png", content)
            write_json(pending / SAVE, Saved(name=name, row=row).model_dump())
            self.finish_save()
            return row

    def save_state(self, name: str, state: State, expected: str) -> Row:
        """Save the state of an image.

        Raises:
            StaleError: ``expected`` is no longer the version of the image.
        """
        with self.lock:
            row = self.next_row(name, expected, {"state": state}, {})
            self.write({**self.rows, name: row}, self.thresholds)
            return row

    def save_threshold(self, name: str, value: float) -> None:
        """Save the threshold at which all open images of a class are painted."""
        with self.lock:
            self.write(self.rows, {**self.thresholds, name: value})

    def next_row(self, name: str, expected: str, changes: Mapping[str, Any], contents: Mapping[str, bytes]) -> Row:
        """Return the image's row after these changes; None stands for no change."""
        current = self.etag(name)
        if expected != current:
            raise StaleError(name, current)
        before = {} if name not in self.rows else self.rows[name].model_dump()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        wanted = {key: value for key, value in changes.items() if value is not None}
        values = {**before, **wanted, "who": self.who, "when": now, "etag": ""}
        digest = hashlib.sha256(json.dumps([current, values]).encode())
        for content in contents.values():
            digest.update(content)
        return Row(**{**values, "etag": digest.hexdigest()[:16]})

    def write(self, rows: dict[str, Row], thresholds: dict[str, float]) -> None:
        """Write the record."""
        self.path.mkdir(parents=True, exist_ok=True)
        origin = self.origin
        content = Record(
            mask_set=origin.mask_set,
            masks_key=origin.key,
            names=list(origin.classes.names),
            background=origin.classes.background,
            thresholds=thresholds,
            images=rows,
        )
        write_synced(self.path / RECORD, record_bytes(content))
        self.rows, self.thresholds = rows, thresholds

    def finish_save(self) -> None:
        """Move the files of a decided save to their places and record it; can be repeated after a kill."""
        pending = self.path / PENDING
        saved = read_stored(pending / SAVE, Saved, MaskSetError)
        for kind, place in ((MASKS, corrected_path), (TOUCHED, touched_path)):
            source, target = pending / f"{kind}.png", place(self.path, saved.name)
            if source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
                sync_one(target.parent)
        self.write({**self.rows, saved.name: saved.row}, self.thresholds)
        (pending / SAVE).unlink()

    def recover(self) -> None:
        """Finish a save that a kill interrupted after it was decided; forget one that was not."""
        if (self.path / PENDING / SAVE).exists():
            self.finish_save()
        delete(self.path / PENDING)


def record_bytes(record: Record) -> bytes:
    """Return the JSON of a record, one line per image: indented JSON of 5,000 images takes several times as long."""
    rows = (
        f"{json.dumps(name)}: {json.dumps(row.model_dump(exclude_none=True))}" for name, row in record.images.items()
    )
    head = json.dumps(record.model_dump(exclude={"images"}))
    return (head[:-1] + ', "images": {\n' + ",\n".join(rows) + "\n}}\n").encode()


def first_etag(key: str, name: str) -> str:
    """Version of an image that nobody has changed; ``key`` identifies the masks."""
    return hashlib.sha256(f"{key}/{name}".encode(errors="surrogateescape")).hexdigest()[:16]


def corrected_path(folder: Path, name: str) -> Path:
    """Path of an image's corrected mask.

    Raises:
        DataError: the name points outside the folder.
    """
    return inside(folder / MASKS, f"{name}.png", folder)


def touched_path(folder: Path, name: str) -> Path:
    """Path of an image's touched pixels.

    Raises:
        DataError: the name points outside the folder.
    """
    return inside(folder / TOUCHED, f"{name}.png", folder)


def touched_png(touched_YX: Touched) -> bytes:
    """Encode touched pixels."""
    content = BytesIO()
    Image.fromarray(touched_YX.astype(np.uint8) * YES).save(content, format="PNG")
    return content.getvalue()


def beside(mask_set: Path) -> Path:
    """Folder of the corrections of a mask set."""
    place = mask_set.absolute()
    return place.with_name(f"{place.name}-corrections")


def read_record(path: Path, classes: Classes) -> Record:
    """Read the record of corrections of masks with these classes.

    Raises:
        MaskSetError: ``path`` holds no corrections, they are damaged, or they are of other classes.
    """
    if not (path / RECORD).is_file():
        raise MaskSetError(
            f"{path} holds no corrections: {RECORD} is missing; give the folder that tag2mask view wrote"
        )
    record = read_stored(path / RECORD, Record, MaskSetError)
    if Classes(tuple(record.names), record.background) != classes:
        raise MaskSetError(f"{path} corrects masks with other classes; give the corrections of this mask set")
    with damaged(path / RECORD, MaskSetError):
        for name, row in record.images.items():
            if unknown := set(row.tags or ()) - set(classes.names):
                raise ValueError(f"images.{name}.tags: there is no class {min(unknown)!r}")
    return record


def read_corrections(path: Path, classes: Classes) -> Corrected:
    """Read all corrections of masks with these classes; a viewer may save others at the same time.

    Raises:
        MaskSetError: ``path`` holds no corrections, they are damaged, or they are of other classes.
    """
    record = read_record(path, classes)
    with suppress(RunError, OSError), held(path):  # unless a viewer has it open or it is read-only
        Corrections(path, Origin(record.mask_set, record.masks_key, classes))  # finishes a save that was killed
    for _ in range(TRIES):
        before = (path / RECORD).read_bytes()
        found = read_all(path, read_record(path, classes), hashlib.sha256(before).hexdigest())
        if not (path / PENDING / SAVE).exists() and (path / RECORD).read_bytes() == before:
            return found
        time.sleep(WAIT)
    raise MaskSetError(f"{path} is being changed all the time: stop its viewer and try again")


def read_all(path: Path, record: Record, digest: str) -> Corrected:
    """Read the files that a record lists."""
    rows = record.images
    masks = {name: in_memory(corrected_path(path, name)) for name, row in rows.items() if row.mask}
    return Corrected(
        path,
        masks,
        {name: in_memory(touched_path(path, name)) for name in masks},
        {name: row.tags for name, row in rows.items() if row.tags is not None},
        frozenset(name for name, row in rows.items() if row.state == "rejected"),
        tuple(sorted({row.who for row in rows.values()})),
        digest,
    )


def in_memory(path: Path) -> InMemory:
    """Read a file.

    Raises:
        MaskSetError: it cannot be read.
    """
    with damaged(path, MaskSetError, "restore it, or remove the image from the corrections"):
        return InMemory(path, path.read_bytes())
