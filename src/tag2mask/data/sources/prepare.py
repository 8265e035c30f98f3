"""Conversion of a source to the ``folder`` form, which all other commands read.

::

    images/ masks/ labels.csv classes.txt splits/    the folder form (data/folder.py)
    dataset.yaml statistics.json                     unless there are 3 bands: how to read the images, and statistics
    prepared.json                                    origin, counts and failures
    prepared.jsonl                                   one line per finished image, from which the same command resumes
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from tag2mask._version import __version__
from tag2mask.data.classes import BACKGROUND, Classes
from tag2mask.data.geotiff import read_georeference, write_geotiff
from tag2mask.data.sources import Record, Source, open_source
from tag2mask.data.statistics import STATISTICS, write_statistics
from tag2mask.data.tags_table import twice
from tag2mask.data.writing import write_mask
from tag2mask.errors import DataError
from tag2mask.fields import Form
from tag2mask.files import (
    append_line,
    file_hash,
    held,
    in_one_move,
    sync,
    vacant,
    write_bytes,
    write_json,
    write_text,
)
from tag2mask.names import inside, split_name
from tag2mask.progress import progress_bar
from tag2mask.settings import Settings
from tag2mask.shown import Shown, counted
from tag2mask.stored import Flag, Stored, drop_torn_line, read_rows, read_stored

MANIFEST, JOURNAL, TABLE = "prepared.json", "prepared.jsonl", "labels.csv"


@dataclass(frozen=True)
class Prepared:
    """The result of ``prepare``."""

    path: Path
    images: int
    tagged: int
    masks: int
    splits: dict[str, int]
    failures: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the result for ``--json``."""
        return {**asdict(self), "path": str(self.path)}

    def shown(self) -> Shown:
        """Return the result for printing."""
        counts = ", ".join(f"{name} {count}" for name, count in self.splits.items()) or "none"
        images, masks = counted(self.images, "image"), counted(self.masks, "mask")
        line = f"{self.path}: {images}, {self.tagged} with tags, {masks}"
        return [line, f"splits: {counts}"]


@dataclass(frozen=True)
class Done:
    """A finished image: its file below ``images/``, the names of its tags, and whether it has a mask."""

    name: str
    image: str
    tags: list[str] | None
    mask: bool


def split_at_commas(lists: Any) -> Any:
    """Split a text at commas into names."""
    return tuple(name.strip() for name in lists.split(",")) if isinstance(lists, str) else lists


class PreparedManifest(Stored, extra="allow"):
    """The fields of ``prepared.json`` that are read; the others are only compared."""

    complete: Flag
    files: dict[str, str] = Field(default_factory=dict)


class PrepareSettings(Settings):
    """Which parts of a source are written, and how."""

    called: ClassVar[str] = "prepare"

    splits: Annotated[tuple[str, ...], BeforeValidator(split_at_commas), Form("A,B")] = Field(
        (), description="Only these splits [all]"
    )
    limit: int | None = Field(None, gt=0, description="Only the first N images of each split, for a trial [all]")
    link: Literal["hard", "symlink", "copy"] = Field("hard", description="Link the image files, or copy them")


def prepare(
    name: str, root: Path, out: Path, settings: Mapping[str, Any] | None = None, plan: PrepareSettings | None = None
) -> Prepared:
    """Convert the source ``name`` at ``root`` to a folder ``out``; after an interruption, the same call resumes.

    ``settings`` are those of the source. Images that cannot be used are left out and listed in the failures.

    Raises:
        SettingsError: the source or a setting is unknown.
        DataError: ``root`` does not have the layout, a split is unknown, ``out`` holds something else, or no image
            can be used.
    """
    plan = plan or PrepareSettings()
    source = open_source(name, root, settings or {})
    require_apart(out, root)
    require_writable(source.classes)
    lists = chosen_lists(source, plan)
    names = chosen_names(source, lists, plan)
    origin = {
        "tool": f"tag2mask {__version__}",
        "source": name,
        "root": root.resolve().name,
        "settings": source.settings.model_dump(mode="json"),
        "plan": plan.model_dump(mode="json"),
        "bands": source.bands,
    }
    with held(out):
        done = start(out, origin)
        failures = add_all(source, [image for image in names if image not in done], out, plan, done)
        if not done:
            if not (out / TABLE).exists():  # nothing worth keeping was written
                shutil.rmtree(out)
            first = next(iter(failures.values()))
            raise DataError(f"{root}: none of {counted(len(names), 'image')} could be used; first: {first}")
        finished = [done[image] for image in names if image in done]
        return finish(out, source, finished, lists, origin, failures)


def require_apart(out: Path, root: Path) -> None:
    """Check that ``out`` is outside the source, so that its files are not read as part of the source next time.

    Raises:
        DataError: it is inside.
    """
    if out.resolve().is_relative_to(root.resolve()):
        raise DataError(f"--out {out} is inside the source {root}; choose a folder outside it")


def chosen_lists(source: Source, plan: PrepareSettings) -> dict[str, list[str]]:
    """Return the chosen split lists, cut to the limit."""
    unknown = [name for name in plan.splits if name not in source.splits]
    if unknown:
        raise DataError(f"split {unknown[0]} is unknown; there are {', '.join(source.splits) or 'none'}")
    wanted = [split_name(name, "a list of the source") for name in plan.splits or source.splits]
    return {name: list(source.splits[name][: plan.limit]) for name in wanted}


def chosen_names(source: Source, lists: Mapping[str, Sequence[str]], plan: PrepareSettings) -> list[str]:
    """Return the images of the chosen lists, or all images if the plan does not restrict them; check their names."""
    of_lists = bool(plan.splits) or (plan.limit is not None and bool(lists))
    listed = dict.fromkeys(name for names in lists.values() for name in names)
    names = list(listed) if of_lists else list(source.names()[: plan.limit])
    for name in names:
        inside(Path("images"), name, "an image of the source")
        require_utf8("image", name)
    if not names:
        raise DataError(f"the source names no image; expected: {source.layout}")
    return names


def add_all(
    source: Source, names: Sequence[str], out: Path, plan: PrepareSettings, done: dict[str, Done]
) -> dict[str, str]:
    """Convert the images and add them to ``done``; return the reasons for failures by name."""
    failures: dict[str, str] = {}
    bar_of_all = progress_bar("prepare", len(done) + len(names), len(done))
    with bar_of_all as bar:
        for name in names:
            try:
                done[name] = add(source, source.record(name), out, plan.link)
                append_line(out / JOURNAL, asdict(done[name]))
            except DataError as error:
                failures[name] = str(error)
            bar.advance()
    return failures


def require_utf8(what: str, name: str) -> None:
    """Check that a name can be written to tables and lists."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DataError(f"{what} {name!a}: the name is not UTF-8; rename it") from None


def require_writable(classes: Classes) -> None:
    """Check that class names can be written to ``labels.csv`` and ``classes.txt``."""
    for name in classes.pixel_names:
        require_utf8("class", name)
    if repeated := twice(classes.pixel_names):
        raise DataError(f"class {repeated[0]!r}: two classes have this name, or it is also the background's; rename it")
    for name in classes.names:
        if not name.strip() or name != name.strip() or set(";\n\r") & set(name):
            raise DataError(
                f"class {name!r}: names in labels.csv must not be empty, contain ; or start or end with white space; "
                "rename it"
            )
    if classes.background is None and classes.names[0] == BACKGROUND:
        raise DataError(f"class {BACKGROUND!r}: as the first class it would mean pixels of no class; rename it")


def start(out: Path, origin: Mapping[str, Any]) -> dict[str, Done]:
    """Start an empty folder, or resume one that the same command began; return the images finished there."""
    if vacant(out):
        write_json(out / MANIFEST, {**origin, "complete": False})
        (out / "images").mkdir()
        return {}
    if not (out / MANIFEST).is_file():
        raise DataError(f"{out} is not empty and was not created by prepare; choose another --out")
    before = read_stored(out / MANIFEST, PreparedManifest, DataError).model_dump()
    differing = [key for key, value in origin.items() if before.get(key) != value]
    if differing:
        raise DataError(f"{out} was prepared with a different {differing[0]}; choose another --out or delete it")
    (out / "images").mkdir(exist_ok=True)
    return read_journal(out)


def read_journal(out: Path) -> dict[str, Done]:
    """Return the finished images; a last line truncated by an interruption is dropped."""
    path = out / JOURNAL
    if not path.exists():
        return {}
    drop_torn_line(path)
    rows = read_rows(path, Done, DataError)
    return {row.name: row for row in rows if (out / "images" / row.image).exists()}


def add(source: Source, record: Record, out: Path, link: str) -> Done:
    """Convert one image, and draw its mask.

    Raises:
        DataError: the image or its truth cannot be read, or they differ in size.
    """
    pixels = record.pixels(source.bands)
    if record.truth is not None:
        labels = record.truth()
        if labels.shape != pixels.shape[:2]:
            sizes = (f"{shape[1]} x {shape[0]}" for shape in (pixels.shape, labels.shape))
            raise DataError(
                f"{record.image}: is {next(sizes)}, but its truth is {next(sizes)}; give both the same size"
            )
        write_mask(inside(out / "masks", f"{record.name}.png", record.image), labels, source.classes)
    image = record.name + record.suffix
    target = inside(out / "images", image, record.image)
    target.parent.mkdir(parents=True, exist_ok=True)
    if record.compose is not None:
        write_geotiff(target, pixels, read_georeference(record.image))
    elif record.content is not None:
        write_bytes(target, record.content)
    else:
        take_over(record.image, target, link)
    tags = None if record.tags is None else [source.classes.names[tag] for tag in record.tags]
    return Done(record.name, image, tags, record.truth is not None)


def take_over(image: Path, target: Path, link: str) -> None:
    """Link or copy an image; it is copied if a hard link is impossible, as across file systems."""
    target.unlink(missing_ok=True)
    if link == "symlink":
        target.symlink_to(image.resolve())
        return
    if link == "hard":
        try:
            os.link(image.resolve(), target)
        except OSError:
            link = "copy"
    if link == "copy":
        with in_one_move(target) as beside:
            shutil.copyfile(image, beside)


def finish(
    out: Path,
    source: Source,
    done: Sequence[Done],
    lists: Mapping[str, Sequence[str]],
    origin: Mapping[str, Any],
    failures: dict[str, str],
) -> Prepared:
    """Write the table, classes, split lists and statistics, and mark the manifest as complete."""
    table = io.StringIO()
    rows = ((row.image, ";".join(row.tags)) for row in done if row.tags is not None)
    csv.writer(table, lineterminator="\n").writerows([("image", "labels"), *rows])
    names = {row.name for row in done}
    usable = {split: [name for name in listed if name in names] for split, listed in lists.items()}
    texts = {TABLE: table.getvalue(), "classes.txt": "".join(f"{name}\n" for name in source.classes.pixel_names)}
    texts |= {f"splits/{split}.txt": "".join(f"{name}\n" for name in listed) for split, listed in usable.items()}
    changed = write_tables(out, texts, origin)
    if source.bands != 3 and (changed or not (out / STATISTICS).exists()):
        with progress_bar("statistics", None) as bar:
            write_statistics(out, source.data_settings(), bar.advance)
    counts = Prepared(
        out,
        len(done),
        sum(row.tags is not None for row in done),
        sum(row.mask for row in done),
        {split: len(listed) for split, listed in usable.items()},
        failures,
    )
    for folder in ("images", "masks"):
        sync(out / folder)
    told = {key: value for key, value in counts.to_json().items() if key != "path"}
    hashes = {name: text_hash(text) for name, text in texts.items()}
    write_json(out / MANIFEST, {**origin, "complete": True, **told, "files": hashes})
    return counts


def write_tables(out: Path, texts: Mapping[str, str], origin: Mapping[str, Any]) -> bool:
    """Write the tables and lists that differ from those written before; return whether any does.

    Raises:
        DataError: a file to be replaced was edited since it was written.
    """
    before = read_stored(out / MANIFEST, PreparedManifest, DataError)
    hashes = before.files
    there = {name: digest for name, digest in hashes.items() if (out / name).exists()}
    changed = {name: text for name, text in texts.items() if there.get(name) != text_hash(text)}
    for name, text in changed.items():
        if (
            before.complete
            and (out / name).exists()
            and file_hash(out / name) not in (hashes.get(name), text_hash(text))
        ):
            raise DataError(f"{out / name} was edited since it was prepared; choose another --out to prepare it again")
    if changed:
        write_json(out / MANIFEST, {**origin, "complete": False})
    for name, text in changed.items():
        (out / name).parent.mkdir(exist_ok=True)
        write_text(out / name, text)
    return bool(changed)


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()
