"""Shards of a mask set on disk: one tar each, of the masks of one part of the images.

::

    shard-00003-of-00016.tar
      classes.json        as in a mask set
      masks/NAME.png      the same bytes as in a mask set; scores/NAME.png and overlays/NAME.jpg too, if asked for
      manifest.json       as in a mask set, about these images alone; its entry ``shard`` tells which part they are

A tar is written under another name and moved when it is complete, so a shard that is there is finished.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tag2mask.beginnings import ANEW, require_begun_as
from tag2mask.data import Classes
from tag2mask.errors import MaskSetError
from tag2mask.masks.manifest import CLASSES, MANIFEST, MASKS, Manifest, complete_manifest
from tag2mask.masks.overlay import OVERLAYS
from tag2mask.masks.packed import Packed, list_members
from tag2mask.masks.scores import SCORES
from tag2mask.names import inside
from tag2mask.notation import from_json
from tag2mask.stored import Count, Stored, damaged, validate

FILE_NAME = re.compile(r"shard-(\d{5})-of-(\d{5})\.tar")
SHARD = "shard"
OWN = frozenset(complete_manifest({}, {}, [], {})) | {SHARD}  # entries of a manifest that differ between shards
NAMED = 20  # at most so many missing shards are named


class Shard(Stored):
    """Part ``number`` of ``of``, counted from 1; ``images_sha256`` identifies the list of all images."""

    number: Count
    of: Count
    images_sha256: str = ""

    def file_name(self) -> str:
        """Return the name of its tar."""
        return f"shard-{self.number:05}-of-{self.of:05}.tar"


class ShardManifest(Manifest):
    """The content of a shard's ``manifest.json``."""

    shard: Shard


@dataclass(frozen=True)
class PackedShard:
    """A finished shard, opened for reading; ``content`` is its manifest as it was written."""

    path: Path
    classes: Classes
    manifest: ShardManifest
    content: dict[str, Any]
    members: dict[str, Packed]

    @cached_property
    def fallbacks(self) -> frozenset[str]:
        """Images without a predicted tag."""
        return frozenset(self.manifest.fallbacks)

    def origin(self) -> dict[str, Any]:
        """Return everything that decided the masks."""
        return {key: value for key, value in self.content.items() if key not in OWN}

    def files_of(self, name: str) -> dict[str, Packed]:
        """Return the files of an image by their names in a mask set, in the order of writing."""
        return {member: self.members[member] for member in file_names(name) if member in self.members}

    def require_same(self, origin: Mapping[str, Any], images_sha256: str, mend: str = ANEW) -> None:
        """Check that it is a part of the mask set with this origin and this list of images.

        Raises:
            MaskSetError: it is not; ``mend`` says what to do.
        """
        require_begun_as(self.path, self.origin(), origin, mend, MaskSetError)
        if self.manifest.shard.images_sha256 != images_sha256:
            raise MaskSetError(f"{self.path} was painted when the list of images was another; {mend}")


def file_names(name: str) -> tuple[str, str, str]:
    """Return the names of an image's overlay, scores and mask in a mask set, in the order of writing."""
    return f"{OVERLAYS}/{name}.jpg", f"{SCORES}/{name}.png", f"{MASKS}/{name}.png"


def find_shards(folder: Path) -> dict[Path, Shard]:
    """Return the shards in a folder by path, sorted; they are not opened."""
    matches = {path: FILE_NAME.fullmatch(path.name) for path in sorted(folder.glob("shard-*.tar"))}
    return {path: Shard(number=int(match[1]), of=int(match[2])) for path, match in matches.items() if match}


def undamaged(path: Path) -> AbstractContextManager[None]:
    """Turn errors while reading a shard into a ``MaskSetError``."""
    return damaged(path, MaskSetError, "delete it and run the command of that shard again")


def open_shard(path: Path) -> PackedShard:
    """Open a shard, after checking that it holds exactly the files that its manifest lists.

    Raises:
        MaskSetError: it is damaged, or holds anything else.
    """
    with undamaged(path):
        members = list_members(path)
        for name in (CLASSES, MANIFEST):
            if name not in members:
                raise ValueError(f"it holds no {name}")
        classes = Classes.from_json(from_json(members[CLASSES].read()))
        content = from_json(members[MANIFEST].read())
        manifest = validate(ShardManifest, content)
        manifest.require_known(classes)
        shard = manifest.shard
        if shard.file_name() != path.name or not 1 <= shard.number <= shard.of:
            raise ValueError(f"it is shard {shard.number} of {shard.of}")
        require_members(members, manifest, classes)
    return PackedShard(path, classes, manifest, content, members)


def require_members(members: Mapping[str, Packed], manifest: ShardManifest, classes: Classes) -> None:
    """Check the names in a shard.

    Raises:
        ValueError: a name is not that of a file of an image, or a mask or scores are missing.
    """
    known = {CLASSES, MANIFEST}
    for name, tags in manifest.image_tags.items():
        overlay, scores, mask = file_names(name)
        require_plain_name(name)
        for needed in [mask, *([scores] if manifest.settings.scores and len(tags) + classes.offset else [])]:
            if needed not in members:
                raise ValueError(f"{needed[:100]!r} is missing")
        known |= {overlay, scores, mask}
    if strange := sorted(members.keys() - known):
        raise ValueError(f"its member {strange[0][:100]!r} belongs to no image")


def require_plain_name(name: str) -> None:
    """Check that an image's name stays what it is when it becomes a path.

    Raises:
        ValueError: it does not.
        DataError: it points outside of the folder.
    """
    if inside(Path(MASKS), f"{name}.png", MANIFEST).as_posix() != f"{MASKS}/{name}.png":
        raise ValueError(f"{name[:100]!r} cannot name an image")


def open_shards(folder: Path) -> list[PackedShard]:
    """Open all shards of a folder in their order.

    Raises:
        MaskSetError: there are none, some are missing or damaged, or they are not parts of one mask set.
    """
    found = find_shards(folder)
    if not found:
        raise MaskSetError(f"{folder} holds no shards; give the folder that tag2mask masks or predict --shard wrote")
    require_all(folder, found.values())
    shards = [open_shard(path) for path in found]
    first = shards[0]
    mend = f"make it and {first.path.name} with the same command"
    owner: dict[str, PackedShard] = {}
    for shard in shards:
        shard.require_same(first.origin(), first.manifest.shard.images_sha256, mend)
        if shard.classes != first.classes:
            raise MaskSetError(f"{shard.path} has other classes than {first.path.name}; {mend}")
        for name in shard.manifest.image_tags:
            if owner.setdefault(name, shard) is not shard:
                raise MaskSetError(f"{shard.path} and {owner[name].path.name} both hold {name}; {mend}")
    return shards


def require_all(folder: Path, shards: Collection[Shard]) -> None:
    """Check that these are all shards of one number.

    Raises:
        MaskSetError: they are not; it names those that are missing.
    """
    numbers = {shard.number for shard in shards}
    counts = sorted({shard.of for shard in shards})
    if len(counts) > 1:
        raise MaskSetError(
            f"{folder} holds shards of {counts[0]} and of {counts[1]}; move those of one mask set into a folder of "
            "their own"
        )
    missing = [number for number in range(1, counts[0] + 1) if number not in numbers]
    if missing:
        named = ", ".join(map(str, missing[:NAMED])) + (f", ... ({len(missing)} in all)" if missing[NAMED:] else "")
        raise MaskSetError(
            f"{folder}: of {counts[0]} shards these are missing: {named}; run their tag2mask command, with "
            f"--shard {missing[0]}/{counts[0]} for the first"
        )


def merge_manifests(shards: Sequence[PackedShard]) -> dict[str, Any]:
    """Return the manifest of the mask set that the shards are parts of."""
    tags: dict[str, list[str]] = {}
    failures: dict[str, str] = {}
    for shard in shards:
        tags |= shard.manifest.image_tags
        failures |= shard.manifest.failures
    fallbacks = [name for shard in shards for name in shard.manifest.fallbacks]
    return complete_manifest(shards[0].origin(), tags, fallbacks, failures)
