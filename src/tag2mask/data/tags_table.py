"""The table of tags: ``image,labels`` with ``;`` between tags, or one 0/1 column per class."""

from __future__ import annotations

import csv
import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from tag2mask.errors import DataError
from tag2mask.files import regular

HINTS = 10  # unknown tags for which the nearest class is searched


@dataclass(frozen=True, slots=True)
class TagRow:
    """One image's tags as in the table, and their line number (from 1)."""

    image: str
    tags: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class TagTable:
    """All rows, and the names of the 0/1 columns if the table has that form."""

    rows: tuple[TagRow, ...]
    columns: tuple[str, ...] | None

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags of the table: its 0/1 columns, or the tags in use, sorted."""
        return self.columns or tuple(sorted({tag for row in self.rows for tag in row.tags}))


def read_tag_table(path: Path) -> TagTable:
    """Read the whole table.

    Raises:
        DataError: it has no rows, or cannot be read (see ``open_table``).
    """
    with open_table(path) as (columns, parsed):
        rows = tuple(parsed)
    if not rows:
        raise DataError(f"{path}: has no rows; write one row per image: image,labels")
    return TagTable(rows, columns)


@contextmanager
def open_table(path: Path) -> Iterator[tuple[tuple[str, ...] | None, Iterator[TagRow]]]:
    """Open a table: its 0/1 columns, if it has that form, and an iterator over its rows.

    Raises:
        DataError: it is missing, empty or not UTF-8, has another header, a cell is neither 0 nor 1, or a row names no
            image.
    """
    if not path.exists():
        raise DataError(f"{path}: the table of tags is missing; create it with the header image,labels")
    with open_csv(path) as file:
        reader = csv.reader(file)
        columns = read_tag_columns(path, [name.strip() for name in next(reader, [])])
        yield columns, parse_rows(path, columns, reader)


@contextmanager
def open_csv(path: Path) -> Iterator[TextIO]:
    """Open a table as text for a CSV reader.

    Raises:
        DataError: it cannot be read, or is not CSV in UTF-8.
    """
    try:
        with regular(path).open(newline="", encoding="utf-8-sig") as file:
            yield file
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise not_utf8(path) from None
    except csv.Error as error:
        raise DataError(f"{path}: is not valid CSV: {error}; save it as CSV in UTF-8") from None


def not_utf8(path: Path) -> DataError:
    """Return the error for a text in another encoding, with the first line that is not UTF-8."""
    with path.open("rb") as file:
        line = next((number for number, text in enumerate(file, start=1) if not is_utf8(text)), 1)
    return DataError(f"{path}, line {line}: is not UTF-8; save the file in that encoding")


def is_utf8(text: bytes) -> bool:
    """Whether ``text`` is valid UTF-8."""
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def read_tag_columns(path: Path, header: list[str]) -> tuple[str, ...] | None:
    """Return the names of the 0/1 columns, or None for ``image,labels``."""
    if not any(header):
        raise DataError(f"{path}: is empty; the first line must be image,labels")
    if header == ["image", "labels"]:
        return None
    columns = header[1:]
    if header[0] != "image" or not columns or not all(columns) or "labels" in columns:
        raise DataError(
            f"{path}, line 1: the header is {','.join(header)!r}; "
            "expected image,labels with ; between tags, or image and one 0/1 column per class"
        )
    repeated = twice(columns)
    if repeated:
        raise DataError(f"{path}, line 1: column {repeated[0]} is repeated; each class needs one column")
    return tuple(columns)


class CsvReader(Protocol):
    """The type of ``csv.reader`` objects."""

    @property
    def line_num(self) -> int:
        """Number of lines read so far."""
        ...

    def __iter__(self) -> Iterator[list[str]]: ...


def number_rows(reader: CsvReader) -> Iterator[tuple[int, list[str]]]:
    """Yield the non-empty rows with the line each begins on: a quoted field may contain line breaks."""
    line = reader.line_num + 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield line, cells
        line = reader.line_num + 1


def parse_rows(path: Path, columns: tuple[str, ...] | None, reader: CsvReader) -> Iterator[TagRow]:
    """Yield the rows below a header of either form."""
    fields = 2 if columns is None else 1 + len(columns)
    for line, cells in number_rows(reader):
        if len(cells) != fields:
            raise DataError(
                f"{path}, line {line}: {len(cells)} fields, but the header has {fields}; quote names that contain a "
                "comma, and separate tags with ;"
            )
        name = cells[0].strip()
        if not name:
            raise DataError(f"{path}, line {line}: names no image; the first field must be its file name")
        if columns is None:
            tags = tuple(dict.fromkeys(tag.strip() for tag in cells[1].split(";") if tag.strip()))
        else:
            tags = marked_columns(path, line, columns, cells[1:])
        yield TagRow(name, tags, line)


def marked_columns(path: Path, line: int, columns: Sequence[str], cells: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns that hold a 1."""
    for name, cell in zip(columns, cells, strict=True):
        if cell.strip() not in ("0", "1"):
            raise DataError(f"{path}, line {line}, column {name}: {cell!r} is neither 0 nor 1")
    return tuple(name for name, cell in zip(columns, cells, strict=True) if cell.strip() == "1")


def repeated_rows(path: Path, named_rows: Iterable[tuple[str, TagRow]]) -> Iterator[tuple[str, str]]:
    """Yield the images that have more than one row, as named there, with a message for each repeated row."""
    first: dict[str, int] = {}
    for name, row in named_rows:
        if name in first:
            yield (
                row.image,
                f"{path}, line {row.line}: {row.image} is already on line {first[name]}; remove one of the two rows",
            )
        first.setdefault(name, row.line)


def twice(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def indices(names: Iterable[str]) -> dict[str, int]:
    """Return the index of each name."""
    return {name: index for index, name in enumerate(names)}


def tag_index(tag: str, index: Mapping[str, int], where: str) -> int:
    """Return the index of a tag; ``index`` is what ``indices`` returns for the classes.

    Raises:
        DataError: the tag is unknown; the message names the nearest class.
    """
    if tag in index:
        return index[tag]
    near = difflib.get_close_matches(tag, index, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known classes: {', '.join(list(index)[:10])}"
    raise DataError(f"{where}: tag {tag!r} is not a class; {hint}")


def unknown_tags(table: Path, first_line: Mapping[str, int], index: Mapping[str, int]) -> Iterator[str]:
    """Yield a message for each tag that is not a class, with the line where it occurs first.

    The nearest class is searched only for the first ``HINTS`` tags, since the search is slow with many classes.
    """
    unknown = [tag for tag in first_line if tag not in index]
    for tag in unknown[:HINTS]:
        try:
            tag_index(tag, index, f"{table}, line {first_line[tag]}")
        except DataError as error:
            yield str(error)
    if len(unknown) > HINTS:
        tag = unknown[HINTS]
        yield (
            f"{table}, line {first_line[tag]}: tag {tag!r} is not a class, nor are "
            f"{len(unknown) - HINTS - 1} others; add them to the list of classes, or correct the table"
        )
