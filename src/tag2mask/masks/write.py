"""A mask set on disk.

::

    masks/NAME.png     indexed, VOC palette, the image's size; 16-bit gray above 254 classes
    scores/NAME.png    with the setting ``scores``: how likely each class of the image is (``masks/scores.py``)
    overlays/NAME.jpg  from ``predict --overlay``: the mask over its image
    classes.json       names, background, ignore
    manifest.json      how the masks were made, from what, which labels were used, which images failed

Files are written atomically. The manifest is written first, with ``complete`` false, so that an interrupted set can be
continued; the tags of each image are in ``tags.jsonl`` until they move into the manifest. The same files may be packed
into shards (``masks/shards.py``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tag2mask.beginnings import require_begun_as
from tag2mask.data import Classes
from tag2mask.data.writing import write_mask
from tag2mask.errors import MaskSetError
from tag2mask.files import append_line, file_hash, json_bytes, sync, vacant, write_bytes, write_json
from tag2mask.masks.corrections import Corrected, read_corrections
from tag2mask.masks.manifest import CLASSES, MANIFEST, MASKS, TAGS, Manifest, complete_manifest, has_scores
from tag2mask.masks.packed import File, Packed
from tag2mask.masks.scores import SCORES, Planes, ScoreFile, score_path, write_scores
from tag2mask.masks.shards import find_shards, merge_manifests, open_shards
from tag2mask.names import inside
from tag2mask.shown import Shown, counted
from tag2mask.stored import Flag, Stored, damaged, drop_torn_line, read_plain, read_rows, read_stored, validate
from tag2mask.urls import spell


class TagsRow(Stored):
    """A line of ``tags.jsonl``."""

    name: str
    tags: list[str]
    fallback: Flag


@dataclass(frozen=True)
class MaskSet:
    """A mask set, opened for reading; ``packed`` are its files if they are in shards.

    Masks in ``corrected`` replace the painted ones, and images in ``left_out`` do not count.
    """

    path: Path
    classes: Classes
    manifest: dict[str, Any]
    packed: Mapping[str, Packed] | None = None
    corrected: Corrected | None = None
    left_out: frozenset[str] = frozenset()

    def names(self) -> list[str]:
        """Names of the images that have a mask, sorted."""
        if self.packed is not None:
            return sorted(self.manifest["image_tags"].keys() - self.left_out)
        folder = self.path / MASKS
        found = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("[!.]*.png")}
        return sorted(found - self.left_out)

    def mask(self, name: str) -> File:
        """File of the mask of an image."""
        if self.corrected is not None and name in self.corrected.masks:
            return self.corrected.masks[name]
        return mask_path(self.path, name) if self.packed is None else self.packed[f"{MASKS}/{name}.png"]

    def score_file(self, name: str) -> Path | Packed:
        """File of the scores of an image, which is missing if there is nothing to score."""
        path = score_path(self.path, name)
        return path if self.packed is None else self.packed.get(f"{SCORES}/{name}.png", path)

    def manifest_hash(self) -> str:
        """Return the SHA-256 of the manifest; that of shards is the merged mask set's."""
        if self.packed is None:
            return file_hash(self.path / MANIFEST)
        return hashlib.sha256(json_bytes(merge_manifests(open_shards(self.path)))).hexdigest()

    def scores(self, names: Iterable[str]) -> dict[str, ScoreFile]:
        """Scores of these images.

        Raises:
            MaskSetError: the mask set has no scores, or those of an image are missing.
        """
        if not has_scores(self.manifest):
            raise MaskSetError(f"{self.path} has masks but no scores: make it with tag2mask masks --scores")
        tags, first = tags_of(self), self.classes.offset
        place = {name: value for value, name in enumerate(self.classes.names, start=first)}
        found = {
            name: ScoreFile(self.score_file(name), (*range(first), *(place[tag] for tag in tags[name])))
            for name in names
        }
        missing = [one.path for one in found.values() if one.values and is_missing(one.path)]
        if missing:
            raise MaskSetError(
                f"the scores of {len(missing)} of {len(found)} images are missing, such as {missing[0]}: run the same "
                "tag2mask command again to make them"
            )
        return found


def mask_path(folder: Path, name: str) -> Path:
    """Path of the mask of an image.

    Raises:
        DataError: the name points outside the folder.
    """
    return inside(folder / MASKS, f"{name}.png", folder)


def tags_of(masks: MaskSet) -> dict[str, list[str]]:
    """Return the tags that each image was painted with.

    Raises:
        MaskSetError: the mask set does not record them.
    """
    tags: dict[str, list[str]] = masks.manifest.get("image_tags", {})
    untold = [name for name in masks.names() if name not in tags]
    if untold:
        raise MaskSetError(f"{masks.path}: its manifest has no image_tags for {untold[0]}; paint it again")
    return tags


def current_tags(masks: MaskSet) -> dict[str, list[str]]:
    """Return the tags of each image: those it was painted with, or those that a person chose instead.

    Raises:
        MaskSetError: the mask set does not record them.
    """
    return {**tags_of(masks), **({} if masks.corrected is None else masks.corrected.tags)}


def with_corrections(masks: MaskSet, path: Path | None, keep_rejected: bool = False) -> MaskSet:
    """Return the mask set with the corrections in ``path``, without rejected images unless they are to be kept.

    Raises:
        MaskSetError: ``path`` holds no corrections, they are of other classes, or all images are rejected.
    """
    if path is None:
        return masks
    corrected = read_corrections(path, masks.classes)
    found = replace(masks, corrected=corrected, left_out=frozenset() if keep_rejected else corrected.rejected)
    if not found.names():
        raise MaskSetError(f"{path}: all images of {masks.path} are rejected, so nothing is left")
    return found


def is_missing(file: File) -> bool:
    """Whether a file that a manifest lists is not there; shards are checked when they are opened."""
    return isinstance(file, Path) and not file.is_file()


def open_mask_set(path: Path) -> MaskSet:
    """Open a mask set, or a folder with all its shards.

    Raises:
        MaskSetError: it is not a mask set, or it is damaged.
    """
    if not (path / MANIFEST).exists() and find_shards(path):
        return open_packed(path)
    for name in (CLASSES, MANIFEST):
        if not (path / name).is_file():
            raise MaskSetError(
                f"{path} is not a mask set: {name} is missing; give the folder that tag2mask masks wrote"
            )
    with damaged(path / CLASSES, MaskSetError):
        classes = Classes.from_json(read_plain(path / CLASSES))
    manifest = read_stored(path / MANIFEST, Manifest, MaskSetError)
    with damaged(path / MANIFEST, MaskSetError):
        manifest.require_known(classes)
    return MaskSet(path, classes, manifest.model_dump(exclude_unset=True))


def open_packed(path: Path) -> MaskSet:
    """Open a folder with all shards of a mask set.

    Raises:
        MaskSetError: a shard is missing or damaged, or they are not parts of one mask set.
    """
    shards = open_shards(path)
    manifest = validate(Manifest, merge_manifests(shards)).model_dump(exclude_unset=True)
    return MaskSet(
        path, shards[0].classes, manifest, {name: file for shard in shards for name, file in shard.members.items()}
    )


def open_finished(path: Path) -> MaskSet:
    """Open a mask set that is complete, not empty, and holds every mask that its manifest lists.

    Raises:
        MaskSetError: it is not a mask set, or not such a one.
    """
    opened = open_mask_set(path)
    if not opened.manifest.get("complete"):
        raise MaskSetError(f"{path} is not finished: run the same tag2mask command again to continue")
    listed = opened.manifest.get("image_tags", {})
    missing = [name for name in listed if is_missing(opened.mask(name))]
    if missing:
        raise MaskSetError(
            f"{len(missing)} of the {len(listed)} masks that {MANIFEST} lists are missing, such as "
            f"{opened.mask(missing[0])}: run the same tag2mask command again to paint them, or remove them from its "
            "image_tags"
        )
    if not opened.names():
        raise MaskSetError(f"{path} holds no masks; run tag2mask masks again with another --out")
    return opened


@dataclass(frozen=True)
class MaskSetSummary:
    """Result of painting: the number of masks in ``path``, and the images that failed.

    ``refiners`` are those of the masks; ``fallbacks`` counts images without a predicted tag, painted with the best
    class instead; ``untagged`` counts images without any tag, which are all background.
    """

    path: Path
    images: int
    refiners: list[str]
    fallbacks: int
    untagged: int
    failures: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the output for ``--json``."""
        return {**{key: value for key, value in vars(self).items() if key != "path"}, "masks": spell(str(self.path))}

    def shown(self) -> Shown:
        """Return the output for people."""
        untagged = f"{self.untagged} of them without any tag, " if self.untagged else ""
        masks, failures = counted(self.images, "mask"), counted(len(self.failures), "failure")
        refined = f"; refined by {' and '.join(self.refiners)}" if self.refiners else ""
        return [f"{spell(str(self.path))}: {masks}, {untagged}{failures}{refined}"]


def summarise(path: Path, manifest: Mapping[str, Any]) -> MaskSetSummary:
    """Return the summary of a finished mask set or shard with this manifest."""
    refiners = manifest["settings"].get("refine", {}).get("names") or []
    untagged = sum(not tags for tags in manifest["image_tags"].values())
    fallbacks, failures = len(manifest["fallbacks"]), dict(manifest["failures"])
    return MaskSetSummary(path, manifest["images"], refiners, fallbacks, untagged, failures)


@dataclass(frozen=True)
class Painted:
    """A label image, the names of its tags, and whether the best class was used because no tag was predicted.

    ``scores`` are planes ``(S, h, w)`` if the mask set has scores and the image has a background or a tag.
    """

    labels: NDArray[np.int64]
    tags: list[str]
    fallback: bool = False
    scores: Planes | None = None


class MaskSetWriter:
    """Writes a mask set. Opened again on the same folder, it continues if nothing that decides the masks changed."""

    def __init__(self, path: Path, classes: Classes, origin: Mapping[str, Any]) -> None:
        """Start or continue; ``origin`` is everything that decides the masks.

        Raises:
            MaskSetError: the folder holds something else.
        """
        self.path = path
        self.classes = classes
        self.origin = json.loads(json.dumps(origin))
        self.tags: dict[str, list[str]] = {}
        self.fallbacks: list[str] = []
        if not vacant(path):
            self.go_on()
        else:
            path.mkdir(parents=True, exist_ok=True)
            write_json(path / MANIFEST, {**self.origin, "complete": False})
            self.open_for_masks()

    def open_for_masks(self) -> None:
        """Write what must exist before the first mask."""
        (self.path / MASKS).mkdir(exist_ok=True)
        write_json(self.path / CLASSES, self.classes.to_json())

    def stopped_early(self) -> bool:
        """Whether a previous call stopped after writing the manifest of this set, before its classes."""
        manifest = self.path / MANIFEST
        if (self.path / CLASSES).exists() or not manifest.is_file():
            return False
        return manifest.read_bytes() == json_bytes({**self.origin, "complete": False})

    def go_on(self) -> None:
        """Continue with the existing masks."""
        if self.stopped_early():
            self.open_for_masks()
        if not (self.path / MANIFEST).is_file():
            raise MaskSetError(f"{self.path} is not empty and is not a mask set; choose another --out")
        before = open_mask_set(self.path)
        was = {key: before.manifest.get(key) for key in self.origin}
        require_begun_as(self.path, was, self.origin, error=MaskSetError)
        rows: list[TagsRow] = []
        if (self.path / TAGS).exists():
            drop_torn_line(self.path / TAGS)
            rows = read_rows(self.path / TAGS, TagsRow, MaskSetError)
        self.tags = before.manifest.get("image_tags", {}) | {row.name: row.tags for row in rows}
        noted = [row.name for row in rows if row.fallback]
        self.fallbacks = list(dict.fromkeys([*before.manifest.get("fallbacks", []), *noted]))

    def has(self, name: str) -> bool:
        """Whether the mask of an image is finished, including its scores if the set has them."""
        paths = [mask_path(self.path, name)]
        if has_scores(self.origin) and len(self.tags.get(name, ())) + self.classes.offset:
            paths.append(score_path(self.path, name))
        # A file may be empty after a power failure.
        return name in self.tags and all(path.is_file() and path.stat().st_size > 0 for path in paths)

    def put(self, name: str, content: bytes) -> None:
        """Write a file of the mask set, such as ``overlays/NAME.jpg``.

        Raises:
            DataError: the name points outside the folder.
        """
        path = inside(self.path, name, self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)

    def add(self, name: str, painted: Painted) -> None:
        """Write the scores and the mask of an image, and record the tags it was painted with."""
        if painted.scores is not None:
            write_scores(score_path(self.path, name), painted.scores)
        write_mask(mask_path(self.path, name), painted.labels, self.classes)
        self.note(name, painted.tags, painted.fallback)

    def note(self, name: str, tags: list[str], fallback: bool) -> None:
        """Record that the mask of an image was painted with these tags."""
        append_line(self.path / TAGS, {"name": name, "tags": tags, "fallback": fallback})
        if fallback and name not in self.tags:  # otherwise its mask was deleted and is painted again
            self.fallbacks.append(name)
        self.tags[name] = tags

    def finish(self, failures: Mapping[str, str]) -> MaskSetSummary:
        """Write the complete manifest, after all files it lists are on disk."""
        for folder in (SCORES, MASKS):
            sync(self.path / folder)
        content = complete_manifest(self.origin, self.tags, self.fallbacks, failures)
        write_json(self.path / MANIFEST, content)
        (self.path / TAGS).unlink(missing_ok=True)
        return summarise(self.path, content)
