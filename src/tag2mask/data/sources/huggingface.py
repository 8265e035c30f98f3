"""Your own data: a local data set of the ``datasets`` library, saved or cloned. Layout and choices: huggingface.md."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from tag2mask.data.classes import BACKGROUND, Classes
from tag2mask.data.folder import read_lines, split_called, strip_suffix
from tag2mask.data.reading import read_mask
from tag2mask.data.sources.huggingface_columns import Column, columns_of, value_of
from tag2mask.data.sources.huggingface_files import Rows, find_files, open_rows, require_pyarrow
from tag2mask.data.sources.own import OwnSettings, read_splits
from tag2mask.data.sources.record import Record, Source, require_values
from tag2mask.errors import DataError
from tag2mask.names import inside

TAG_NAMES = ("tags", "labels", "label")  # names of text or number columns that are used without a setting
OBJECT_TAGS = ("category", "categories", "category_id", "label", "labels")  # the same inside a group such as objects
Labels = tuple[str, ...] | None


class HuggingFaceSettings(OwnSettings):
    """Columns by name; ``image`` and ``tags`` are found by their features if only one column qualifies."""

    image: str | None = Field(None, description="Column of images [detected]")
    tags: str | None = Field(None, description="Column of tags [detected]")
    mask: str | None = Field(None, description="Column of true masks")
    name: str | None = Field(None, description="Column of names [split and row number]")
    background: bool = Field(False, description="Mask value 0 means no class, and 1 is the first class")


@dataclass(frozen=True, slots=True)
class Entry:
    """The location of an image, and the labels of its row."""

    path: Path
    row: int
    labels: Labels

    def where(self, column: str) -> Path:
        """Return the location of a cell for error messages."""
        return Path(f"{self.path}, row {self.row}, column {column}")


class HuggingFace(Source):
    """Images are stored inside the files. Classes are those of ``ClassLabel``, else the texts in use, sorted."""

    settings_class = HuggingFaceSettings
    settings: HuggingFaceSettings
    layout = (
        "ROOT/dataset_dict.json or ROOT/state.json as written by save_to_disk, "
        "or ROOT/data/SPLIT-*.parquet or ROOT/SPLIT-*.parquet as on the hub"
    )

    def __init__(self, root: Path, settings: HuggingFaceSettings) -> None:
        require_pyarrow(root)
        self.root = root
        files = find_files(root, self.layout)
        first = next(iter(files.values()))[0]
        self.rows = open_rows(first)
        columns = columns_of(first, root, self.rows.schema)
        tops = set(self.rows.schema.names)
        self.settings, self.bands = choose_columns(first, columns, tops, settings), settings.bands
        self.entries: dict[str, Entry] = {}
        splits: dict[str, list[str]] = {}
        for split, paths in files.items():
            called = split if split_called(split) in files else split_called(split)
            read = (row for path in paths for row in read_entries(path, root, columns, self.settings))
            splits[called] = [
                self.add(given or f"{called}/{n:05d}".lstrip("/"), e) for n, (given, e) in enumerate(read)
            ]
        tags = columns_with_names(root, columns[str(self.settings.tags)])
        self.classes = classes_of(first, tags, self.entries.values(), settings.background)
        self.index = {name: number for number, name in enumerate(self.classes.names)}
        self.splits = read_splits(root, self.entries) if "" in splits else splits

    def add(self, name: str, entry: Entry) -> str:
        """Add an image and return its name.

        Raises:
            DataError: another image has that name.
        """
        other = self.entries.setdefault(name, entry)
        if other is not entry:
            raise DataError(
                f"{entry.where(str(self.settings.name))}: {name} is already the name of {other.path}, row {other.row}"
            )
        return name

    def names(self) -> Sequence[str]:
        """Return the images file by file, in row order."""
        return list(self.entries)

    def record(self, name: str) -> Record:
        """Return an image; the background is not a tag."""
        entry, image, mask = self.entries[name], str(self.settings.image), self.settings.mask
        if entry.path != self.rows.path:
            self.rows = open_rows(entry.path)
        row = self.rows.row(entry.row, [image, *([mask] if mask else [])])
        found = locate_image(self.root, entry, image, row[image])
        if found is None:
            raise DataError(f"{entry.where(image)}: the image is missing")
        path, content = found
        drawn = locate_image(self.root, entry, mask, row[mask]) if mask else None
        truth = (lambda: require_values(drawn[0], read_mask(*drawn), self.classes)) if drawn else None
        tags = {self.index[label] for label in entry.labels or () if label in self.index}
        return Record(name, path, None if entry.labels is None else tuple(sorted(tags)), truth, content=content)


def locate_image(
    root: Path, entry: Entry, column: str, cell: Mapping[str, Any] | None
) -> tuple[Path, bytes | None] | None:
    """Return the image's file below ``root`` and None, or its cell's location and bytes; None if it has neither.

    Raises:
        DataError: the file is outside ``root``.
    """
    if cell is None or (cell["bytes"] is None and not cell.get("path")):
        return None
    if cell["bytes"] is None:
        return inside(root, str(cell["path"]), entry.where(column), entry.path.parent), None
    return entry.where(column), cell["bytes"]


def choose_columns(
    path: Path, columns: Mapping[str, Column], tops: Collection[str], settings: HuggingFaceSettings
) -> HuggingFaceSettings:
    """Return the settings with all columns chosen; ``tops`` are the columns that are not parts of nested ones.

    Raises:
        DataError: a column does not exist, or more than one qualifies.
    """
    images = [name for name, column in columns.items() if column.kind == "image" and name != settings.mask]
    image = settings.image or only(path, "image", ["image"] if "image" in images else images, columns)
    tags = settings.tags or only(path, "tags", tag_columns(columns, tops), columns)
    require_kind(path, columns, image, ["image"])
    require_kind(path, columns, tags, ["class", "text", "number"])
    if settings.mask is not None:
        require_kind(path, columns, settings.mask, ["image"])
    if settings.name is not None:
        require_kind(path, columns, settings.name, ["text", "number", "other"])
    return settings.model_copy(update={"image": image, "tags": tags})


def tag_columns(columns: Mapping[str, Column], tops: Collection[str]) -> list[str]:
    """Return the candidates for tags: class columns, else texts or numbers with a usual name, else those of objects."""
    for of_objects, called in ((False, TAG_NAMES), (True, OBJECT_TAGS)):
        here = {name: column.kind for name, column in columns.items() if (name not in tops) == of_objects}
        for kind in ("class", "text", "number"):
            found = [name for name in here if here[name] == kind]
            found = found if kind == "class" else [name for name in found if name.rpartition(".")[2] in called]
            if found:
                return found
    return []


def columns_with_names(root: Path, column: Column) -> Column:
    """Turn a column of integers into class indices if ``classes.txt`` names the classes, from 0."""
    path = root / "classes.txt"
    if column.kind != "number" or not path.is_file():
        return column
    return Column("class", tuple(line for line in read_lines(path) if line))


def only(path: Path, key: str, names: Sequence[str], columns: Iterable[str]) -> str:
    """Return the only candidate for a column, or raise ``DataError``."""
    if len(names) != 1:
        why = f"{', '.join(names)} could all be" if names else f"none of {', '.join(columns)} is clearly"
        raise DataError(f"{path}: {why} the column of {key}; name it with --set {key}=COLUMN")
    return names[0]


def require_kind(path: Path, columns: Mapping[str, Column], name: str, kinds: Sequence[str]) -> None:
    """Check that a column exists and is of one of ``kinds``.

    Raises:
        DataError: it does not, or is not; the message names the nearest column.
    """
    if name not in columns:
        near = difflib.get_close_matches(name, columns, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(columns)}"
        raise DataError(f"{path}: there is no column {name}; {hint}")
    if columns[name].kind not in kinds:
        raise DataError(f"{path}: column {name} is of kind {columns[name].kind}, expected {' or '.join(kinds)}")


def read_entries(
    path: Path, root: Path, columns: Mapping[str, Column], settings: HuggingFaceSettings
) -> Iterator[tuple[str, Entry]]:
    """Yield the name (empty without a column of names) and entry of each row of a file.

    Raises:
        DataError: columns or classes differ from the first file's, a value is not a class, or a row has no name.
    """
    rows = open_rows(path)
    here = columns_of(path, root, rows.schema)
    tags = str(settings.tags)
    for name in filter(None, (settings.image, tags, settings.mask, settings.name)):
        if here.get(name) != columns[name]:
            raise DataError(f"{path}: column {name} is missing, or differs from the first file's")
    values, column = values_in(rows, tags), columns_with_names(root, columns[tags])
    given = values_in(rows, settings.name) if settings.name else [""] * len(values)
    for number, (value, name) in enumerate(zip(values, given, strict=True)):
        try:
            labels = labels_of(value, column)
        except DataError as error:
            raise DataError(f"{path}, row {number}, column {tags}: {error}") from None
        if settings.name and (not isinstance(name, str | int) or name == ""):
            raise DataError(f"{path}, row {number}, column {settings.name}: names no image")
        yield strip_suffix(str(name)), Entry(path, number, labels)


def values_in(rows: Rows, name: str) -> list[Any]:
    """Return the values of a column, or of a part of a nested one: ``objects.category``."""
    parts = name.split(".")
    length = next(n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in rows.schema.names)
    return [value_of(cell, parts[length:]) for cell in rows.column(".".join(parts[:length]))]


def labels_of(value: Any, column: Column) -> Labels:
    """Return the labels of one row as texts; None if unknown: no value, or a single -1 as the library writes it.

    Raises:
        DataError: a number is not the index of a class.
    """
    if value is None or (value == -1 and column.kind != "text"):
        return None
    values = [one for one in flatten(value) if one is not None]
    if column.kind != "class":
        texts = (str(text).strip() for text in values)
        return tuple(text for text in texts if text)
    foreign = [value for value in values if value not in range(len(column.names))]
    if foreign:
        raise DataError(f"{foreign[0]} is not one of {len(column.names)} classes")
    return tuple(column.names[value] for value in values)


def flatten(value: Any) -> Iterator[Any]:
    """Yield the values of nested lists."""
    if not isinstance(value, list):
        yield value
        return
    for inner in value:
        yield from flatten(inner)


def classes_of(path: Path, column: Column, entries: Iterable[Entry], background: bool) -> Classes:
    """Return the declared classes, or the labels in use; a first one ``background`` is the background.

    Raises:
        DataError: there are no classes.
    """
    in_use = {label for entry in entries for label in entry.labels or ()}
    names = column.names or tuple(sorted(in_use, key=int if column.kind == "number" else str))
    if names[:1] == (BACKGROUND,):
        names, background = names[1:], True
    if not names:
        raise DataError(f"{path}: no image has a tag, so there is no class")
    return Classes(names, BACKGROUND if background else None)
