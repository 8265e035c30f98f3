"""Painting in shards: which part of the images a process paints, and the tar it writes.

The images, in the order in which they are painted without shards, are cut into blocks of whole batches: shard I of N is
the I-th of N nearly equal runs of consecutive batches. Nothing but the list, the batch size and N decides.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tag2mask.beginnings import ANEW, ELSEWHERE
from tag2mask.data import Classes, Sample
from tag2mask.data.stores import send
from tag2mask.data.writing import mask_png
from tag2mask.errors import MaskSetError, SettingsError
from tag2mask.files import held, in_one_move, json_bytes, reserved, sync_one
from tag2mask.masks.manifest import CLASSES, MANIFEST, complete_manifest
from tag2mask.masks.scores import scores_png
from tag2mask.masks.shards import SHARD, Shard, file_names, find_shards, open_shard
from tag2mask.masks.write import MaskSetSummary, MaskSetWriter, Painted, summarise
from tag2mask.urls import is_view

AUTO = "auto"
INSTEAD = "give --shard I/N instead"
MOST = 99_999  # shards: five digits
SCHEDULERS = (  # variables of a process's number and of the number of processes, and the first number
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", 1),
    ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS", 0),
    ("RANK", "WORLD_SIZE", 0),
)


class Writer(Protocol):
    """What masks are written with: a mask set, or one shard of it."""

    classes: Classes

    def has(self, name: str) -> bool:
        """Whether the mask of an image is finished."""

    def put(self, name: str, content: bytes) -> None:
        """Write a file, such as ``overlays/NAME.jpg``."""

    def add(self, name: str, painted: Painted) -> None:
        """Write the scores and the mask of an image."""

    def finish(self, failures: Mapping[str, str]) -> MaskSetSummary:
        """Write the manifest."""


def read_shard(text: str, environment: Mapping[str, str]) -> Shard:
    """Parse ``I/N``, I from 1 to N; ``auto`` takes both from the variables of a cluster's scheduler.

    Raises:
        SettingsError: it is neither, or the variables are not set or contradict each other.
    """
    if text != AUTO:
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if found is None:
            raise SettingsError(f"--shard {text[:100]}: expected I/N, such as 3/16, {AUTO} or ray/N")
        return in_range(f"--shard {text}", int(found[1]), int(found[2]))
    said = {
        f"{number}={environment.get(number, '')}, {count}={environment.get(count, '')}": first
        for number, count, first in SCHEDULERS
        if number in environment or count in environment
    }
    if not said:
        wanted = ", ".join(f"{number} and {count}" for number, count, _ in SCHEDULERS)
        raise SettingsError(f"--shard auto: no scheduler's variables are set ({wanted}); {INSTEAD}")
    shards = {in_variables(text, first) for text, first in said.items()}
    if len(shards) > 1:
        raise SettingsError(f"--shard auto: {'; '.join(said)} contradict each other; {INSTEAD}")
    return shards.pop()


def in_variables(text: str, first: int) -> Shard:
    """Return the shard that ``NUMBER=3, COUNT=16`` mean; ``first`` is the number of the first process.

    Raises:
        SettingsError: one of them is not a number, or out of range.
    """
    found = re.fullmatch(r"\w+=(\d{1,9}), \w+=(\d{1,9})", text, re.ASCII)
    if found is None:
        raise SettingsError(f"--shard auto: {text}: both must be numbers; set them, or {INSTEAD}")
    return in_range(f"--shard auto: {text}", int(found[1]) + 1 - first, int(found[2]))


def in_range(shown: str, number: int, of: int) -> Shard:
    """Return a shard after checking its numbers.

    Raises:
        SettingsError: there is no such shard.
    """
    if not 1 <= number <= of <= MOST:
        raise SettingsError(f"{shown}: there is no shard {number} of {of}; I goes from 1 to N, and N to {MOST}")
    return Shard(number=number, of=of)


def of_list(shard: Shard, samples: Sequence[Sample]) -> Shard:
    """Return the shard with the hash of the names of all images, in their order."""
    names = "".join(f"{sample.name}\n" for sample in samples)
    return shard.model_copy(
        update={"images_sha256": hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()}
    )


def share(samples: Sequence[Sample], shard: Shard | None, batch_size: int) -> list[Sample]:
    """Return the images of a shard, all without one; each is in exactly one shard, even if it is listed twice."""
    if shard is None:
        return list(samples)
    once = list({sample.name: sample for sample in samples}.values())
    batches = -(-len(once) // batch_size)
    first, last = (batches * number // shard.of * batch_size for number in (shard.number - 1, shard.number))
    return once[first:last]


def finished_shard(out: Path, origin: Mapping[str, Any], shard: Shard | None) -> MaskSetSummary | None:
    """Return the summary of a shard that is in ``out`` already; None if there is none, or without one to make.

    Raises:
        MaskSetError: ``out`` holds something else, or parts of another mask set.
    """
    if shard is None or not out.exists():
        return None
    if not out.is_dir():
        raise MaskSetError(f"{out} is a file; {ELSEWHERE}")
    found = find_shards(out)
    others = sorted(path.name for path in out.iterdir() if path not in found and not path.name.startswith("."))
    if others:
        raise MaskSetError(f"{out} holds {others[0]}, which is no shard; {ELSEWHERE}")
    own = out / shard.file_name()
    for path, one in found.items():
        if one.of != shard.of:
            raise MaskSetError(f"{path} is one of {one.of} shards, not of {shard.of}; {ANEW}")
    for path in [own] if own in found else list(found)[:1]:
        opened = open_shard(path)
        opened.require_same(json_values(origin), shard.images_sha256)
        if path == own:
            return summarise(path, opened.content)
    return None


def json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as they are after writing and reading."""
    read: dict[str, Any] = json.loads(json.dumps(values))
    return read


@contextmanager
def opened_writer(out: Path, classes: Classes, origin: Mapping[str, Any], shard: Shard | None) -> Iterator[Writer]:
    """Yield what writes masks: the mask set ``out``, or a ``shard`` in the folder ``out``, which appears at the end.

    A shard in a view is uploaded then.

    Raises:
        MaskSetError: ``out`` holds something else.
        RunError: another process writes it.
    """
    if shard is None:
        if is_view(out):
            raise MaskSetError(f"--out {out}: a URL takes only shards; add --shard 1/1, or choose a local folder")
        with held(out):
            yield MaskSetWriter(out, classes, origin)
        return
    path = out / shard.file_name()
    with reserved(path):
        with in_one_move(path) as beside:
            with tarfile.open(beside, "w") as tar:
                yield ShardWriter(path, tar, classes, origin, shard)
            sync_one(beside)
        sync_one(out)
        send(path)


class ShardWriter:
    """Writes the masks of a shard into a tar, which is the same whenever and wherever it is written."""

    def __init__(
        self, path: Path, tar: tarfile.TarFile, classes: Classes, origin: Mapping[str, Any], shard: Shard
    ) -> None:
        """Start; ``path`` is where the tar will be."""
        self.path = path
        self.tar = tar
        self.classes = classes
        self.origin = origin
        self.shard = shard
        self.tags: dict[str, list[str]] = {}
        self.fallbacks: list[str] = []
        self.put(CLASSES, json_bytes(classes.to_json()))

    def has(self, name: str) -> bool:
        """Whether the mask of an image is finished."""
        return name in self.tags

    def put(self, name: str, content: bytes) -> None:
        """Write a file."""
        member = tarfile.TarInfo(name)
        member.size = len(content)
        self.tar.addfile(member, io.BytesIO(content))

    def add(self, name: str, painted: Painted) -> None:
        """Write the scores and the mask of an image, and record the tags it was painted with."""
        _, scores, mask = file_names(name)
        if painted.scores is not None:
            self.put(scores, scores_png(painted.scores))
        self.put(mask, mask_png(painted.labels, self.classes))
        if painted.fallback:
            self.fallbacks.append(name)
        self.tags[name] = painted.tags

    def finish(self, failures: Mapping[str, str]) -> MaskSetSummary:
        """Write the manifest, which is the last file."""
        content = complete_manifest(self.origin, self.tags, self.fallbacks, failures)
        self.put(MANIFEST, json_bytes({**content, SHARD: self.shard.model_dump()}))
        return summarise(self.path, content)
