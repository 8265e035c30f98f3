"""The table of tags: ``image,labels`` with ``;`` between tags, or one 0/1 column a class."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tag2mask.errors import DataError


@dataclass(frozen=True)
class TagRow:
    """One photograph's tags, as the table gives them, and the line they stand in (from 1)."""

    image: str
    tags: tuple[str, ...]
    line: int


def read_tag_rows(path: Path) -> list[TagRow]:
    """All rows.

    Raises:
        DataError: no file, empty, not UTF-8, another header, a cell that is neither 0 nor 1, an image twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            rows = list(parse_rows(path, header, reader))
    except FileNotFoundError:
        raise DataError(f"{path}: the table of tags is missing; make it with the header image,labels") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: is no CSV in UTF-8: {error}") from None
    if not rows:
        raise DataError(f"{path}: has no rows; give one row a photograph: image,labels")
    refuse_repeated(path, rows)
    return rows


def parse_rows(path: Path, header: list[str], reader: Iterator[list[str]]) -> Iterator[TagRow]:
    """The rows below a header of either form."""
    if not any(header):
        raise DataError(f"{path}: is empty; the first line must be image,labels")
    lists = header == ["image", "labels"]
    if header[0] != "image" or len(header) < 2 or ("labels" in header and not lists):
        raise DataError(
            f"{path}, line 1: the header is {','.join(header)!r}; "
            "wanted image,labels with ; between tags, or image and one 0/1 column a class"
        )
    for line, cells in enumerate(reader, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise DataError(f"{path}, line {line}: {len(cells)} fields where the header has {len(header)}")
        name = cells[0].strip()
        if lists:
            tags = tuple(dict.fromkeys(tag.strip() for tag in cells[1].split(";") if tag.strip()))
        else:
            tags = marked(path, line, header, cells)
        yield TagRow(name, tags, line)


def marked(path: Path, line: int, header: list[str], cells: list[str]) -> tuple[str, ...]:
    """Names of the columns that hold a 1."""
    for name, cell in zip(header[1:], cells[1:], strict=True):
        if cell.strip() not in ("0", "1"):
            raise DataError(f"{path}, line {line}, column {name}: {cell!r} is neither 0 nor 1")
    return tuple(name for name, cell in zip(header[1:], cells[1:], strict=True) if cell.strip() == "1")


def refuse_repeated(path: Path, rows: list[TagRow]) -> None:
    """An image has one row."""
    first: dict[str, int] = {}
    for row in rows:
        if row.image in first:
            raise DataError(f"{path}, line {row.line}: {row.image} stands in line {first[row.image]} already")
        first[row.image] = row.line


def tag_index(tag: str, names: Sequence[str], where: str) -> int:
    """Index of a tag.

    Raises:
        DataError: unknown; the nearest known class is named.
    """
    if tag in names:
        return list(names).index(tag)
    near = difflib.get_close_matches(tag, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(list(names)[:10])}"
    raise DataError(f"{where}: tag {tag!r} is not among the classes; {hint}")
