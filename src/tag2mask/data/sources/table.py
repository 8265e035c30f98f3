"""Your own data: a table of images and labels, in one column or one 0/1 column per class. Layout: csv.md."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from tag2mask.data.folder import SPLITS, read_classes, split_called, strip_suffix
from tag2mask.data.reading import read_mask
from tag2mask.data.sources.own import OwnSettings, read_splits
from tag2mask.data.sources.record import Record, Source, require_layout, require_values
from tag2mask.data.tags_table import indices, number_rows, open_csv, tag_index
from tag2mask.errors import DataError
from tag2mask.files import is_file
from tag2mask.names import inside

IMAGE_COLUMNS = (
    "image",
    "filename",
    "file_name",
    "image_id",
    "image_name",
    "file",
)  # used without a setting; the first that exists
LABELS = "labels"
NAMES_OF_TABLES = ("labels.csv", "_classes.csv")  # the latter is Roboflow's, in ROOT or in a folder per split
FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


class TableSettings(OwnSettings):
    """Settings of a table; files and folders are below the root."""

    table: str | None = Field(None, description="File of the table [detected]")
    image: str | None = Field(None, description="Column of images [detected]")
    labels: str | tuple[str, ...] | None = Field(
        None, description="Column of labels, or several 0/1 columns named after the classes [detected]"
    )
    rows: Literal["image", "label"] = Field("image", description="Whether a row is an image, or one label of an image")
    split: str | None = Field(None, description="Column that names each image's split")
    delimiter: str = Field(",", min_length=1, max_length=1, description="Character between columns")
    separator: str = Field(";", min_length=1, description="Text between the labels in a cell")
    images: str = Field(".", description="Folder of images")
    suffix: str = Field("", description="Suffix added to names that have none")
    masks: str = Field("masks", description="Folder of true masks")


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: its first line, the image as written there, its labels, and its split if there is such a column."""

    line: int
    image: str
    labels: list[str]
    split: str


class TableSource(Source):
    """Classes are those of ``classes.txt``, else the 0/1 columns in order, else the labels in use, sorted.

    Names stay texts, so leading zeros are kept.
    """

    settings_class = TableSettings
    settings: TableSettings
    layout = (
        "ROOT/labels.csv with columns image and labels (others: --set table=FILE --set image=COLUMN ...), "
        "or ROOT/train/_classes.csv, ROOT/valid/_classes.csv as exported by Roboflow"
    )

    def __init__(self, root: Path, settings: TableSettings) -> None:
        self.settings, self.bands, self.root = settings, settings.bands, root
        self.labels: dict[str, list[str]] = {}
        self.images: dict[str, Path] = {}
        splits: dict[str, list[str]] = {}
        columns: list[str] = []
        tables = find_tables(root, settings)
        missing = [] if all(path.exists() for path in tables) else [settings.table or NAMES_OF_TABLES[0]]
        require_layout(root, [settings.images, *missing], self.layout)
        for path, called in tables.items():
            classes, rows = read_table(path, settings)
            columns += [name for name in classes if name not in columns]
            folder = path.parent if called else root
            for row in rows:
                name = self.add(path, row, folder, f"{path.parent.name}/" if called else "")
                split = called or split_called(row.split)
                if split and name:
                    splits.setdefault(split, []).append(name)
        if not self.labels:
            raise DataError(f"{next(iter(tables))}: has no rows; write one row per image")
        in_use = sorted({name for row in self.labels.values() for name in row})
        self.classes = read_classes(root / "classes.txt", columns or in_use)
        known = indices(self.classes.names)
        index = {name: tag_index(name, known, str(next(iter(tables)))) for name in in_use}
        self.tags = {name: tuple(sorted({index[label] for label in row})) for name, row in self.labels.items()}
        self.splits = splits or read_splits(root, self.images)

    def add(self, path: Path, row: TableRow, folder: Path, prefix: str) -> str | None:
        """Add a row; return the image's name, or None if the image already has a row.

        Raises:
            DataError: the image already has a row, and the settings say one row per image.
        """
        image = row.image.replace("\\", "/").removeprefix("./")
        name = prefix + strip_suffix(image)
        if name in self.labels:
            if self.settings.rows == "image":
                raise DataError(
                    f"{path}, line {row.line}: {row.image} has a row already; remove one, or if each row holds one "
                    "label, use --set rows=label"
                )
            self.labels[name] += row.labels
            return None
        self.labels[name] = row.labels
        if strip_suffix(image) == image:
            image += self.settings.suffix
        self.images[name] = inside(folder / self.settings.images, image, f"{path}, line {row.line}")
        return name

    def names(self) -> Sequence[str]:
        """Return the images in table order."""
        return list(self.images)

    def record(self, name: str) -> Record:
        """Return an image; its mask is ``masks/NAME.png``, if that exists."""
        mask = inside(self.root / self.settings.masks, f"{name}.png", self.settings.table)
        truth = (lambda: require_values(mask, read_mask(mask), self.classes)) if is_file(mask) else None
        return Record(name, self.images[name], self.tags[name], truth)


def find_tables(root: Path, settings: TableSettings) -> dict[Path, str]:
    """Return the tables and their splits; the split is empty unless there is one table per split folder."""
    if settings.table is not None:
        return {root / settings.table: ""}
    for name in NAMES_OF_TABLES:
        if (root / name).is_file():
            return {root / name: ""}
    below = [path for path in sorted(root.glob(f"*/{NAMES_OF_TABLES[1]}")) if path.parent.name.lower() in SPLITS]
    return {path: split_called(path.parent.name) for path in below} or {root / NAMES_OF_TABLES[0]: ""}


def read_table(path: Path, settings: TableSettings) -> tuple[Sequence[str], list[TableRow]]:
    """Return the names of the 0/1 columns, if any, and all rows.

    Raises:
        DataError: it is not UTF-8, a column is missing, or a row names no image or has too many or too few fields.
    """
    with open_csv(path) as file:
        reader = csv.reader(file, delimiter=settings.delimiter)
        header = [name.strip() for name in next(reader, [])]
        lines = [(line, [cell.strip() for cell in cells]) for line, cells in number_rows(reader)]
    wrong = next(((line, cells) for line, cells in lines if len(cells) != len(header)), None)
    if wrong is not None:
        raise DataError(f"{path}, line {wrong[0]}: {len(wrong[1])} fields, but the header has {len(header)}")
    image = settings.image or next((name for name in IMAGE_COLUMNS if name in header), IMAGE_COLUMNS[0])
    of_image = column_of(path, image, header)
    of_split = column_of(path, settings.split, header) if settings.split else None
    of_labels, flagged = label_columns(path, header, [cells for _, cells in lines], {of_image, of_split}, settings)
    rows = []
    for line, cells in lines:
        if not cells[of_image]:
            raise DataError(f"{path}, line {line}, column {image}: names no image")
        if flagged:
            labels = read_flags(path, line, [(header[column], cells[column]) for column in of_labels])
        else:
            labels = [name.strip() for name in cells[of_labels[0]].split(settings.separator)]
        split = "" if of_split is None else cells[of_split]
        rows.append(TableRow(line, cells[of_image], [name for name in labels if name], split))
    return [header[column] for column in of_labels] if flagged else [], rows


def label_columns(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], others: set[int | None], settings: TableSettings
) -> tuple[list[int], bool]:
    """Return the column of labels and False, or the 0/1 columns and True.

    Raises:
        DataError: there is no such column.
    """
    named = settings.labels
    if named is None and LABELS not in header:
        rest = [column for column in range(len(header)) if column not in others]
        if rest and rows and all(row[column].lower() in FLAGS for row in rows for column in rest):
            return rest, True
    if isinstance(named, str) and named not in header and "," in named:
        named = tuple(name.strip() for name in named.split(","))
    if isinstance(named, tuple):
        return [column_of(path, name, header) for name in named], True
    return [column_of(path, named or LABELS, header)], False


def read_flags(path: Path, line: int, cells: Iterable[tuple[str, str]]) -> list[str]:
    """Return the names of the columns that hold a 1.

    Raises:
        DataError: a column holds neither 0 nor 1.
    """
    found = []
    for name, cell in cells:
        if cell.lower() not in FLAGS:
            raise DataError(f"{path}, line {line}, column {name}: {cell!r} is neither 0 nor 1")
        if FLAGS[cell.lower()]:
            found.append(name)
    return found


def column_of(path: Path, name: str, header: Sequence[str]) -> int:
    """Return the index of a column.

    Raises:
        DataError: there is no such column; the message names the nearest.
    """
    if name in header:
        return list(header).index(name)
    near = difflib.get_close_matches(name, header, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(header) or 'none'}"
    raise DataError(f"{path}, line 1: there is no column {name}; {hint}")
