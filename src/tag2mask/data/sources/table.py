"""Own data: a table with a column of photographs and a column of labels. Layout and choices: csv.md."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from tag2mask.data.folder import read_classes, strip_suffix
from tag2mask.data.reading import read_mask
from tag2mask.data.sources.own import OwnSettings, read_splits
from tag2mask.data.sources.record import Record, Source, require_layout, require_values
from tag2mask.data.tags_table import tag_index
from tag2mask.errors import DataError


class TableSettings(OwnSettings):
    """The table, its columns and separators, and the folders of photographs and masks below the root.

    ``suffix`` is put behind names that have none; ``split`` names a column of lists.
    """

    table: str = "labels.csv"
    image: str = "image"
    labels: str = "labels"
    split: str | None = None
    delimiter: str = Field(",", min_length=1, max_length=1)
    separator: str = Field(";", min_length=1)
    images: str = "."
    suffix: str = ""
    masks: str = "masks"


class Table(Source):
    """Classes are those of ``classes.txt``, else the labels in use, sorted. Names stay text: zeros in front count."""

    settings_class = TableSettings
    settings: TableSettings
    layout = "ROOT/labels.csv with columns image and labels (others: --set table=FILE --set image=COLUMN ...)"

    def __init__(self, root: Path, settings: TableSettings) -> None:
        require_layout(root, [settings.table, settings.images], self.layout)
        self.settings, self.bands, self.root = settings, settings.bands, root
        path = root / settings.table
        labels: dict[str, list[str]] = {}
        self.images: dict[str, Path] = {}
        splits: dict[str, list[str]] = {}
        for line, image, names, split in read_rows(path, settings):
            name = strip_suffix(image.replace("\\", "/").removeprefix("./"))
            if name in labels:
                raise DataError(f"{path}, line {line}: {image} stands there already; take one row out")
            labels[name] = names
            self.images[name] = root / settings.images / (image + settings.suffix)
            if split:
                splits.setdefault(split, []).append(name)
        if not labels:
            raise DataError(f"{path}: has no rows; give one row a photograph")
        self.classes = read_classes(root / "classes.txt", sorted({name for row in labels.values() for name in row}))
        index = {name: tag_index(name, self.classes.names, str(path)) for row in labels.values() for name in row}
        self.tags = {name: tuple(sorted({index[label] for label in row})) for name, row in labels.items()}
        self.splits = splits or read_splits(root, self.images)

    def names(self) -> Sequence[str]:
        """In the table's order."""
        return list(self.images)

    def record(self, name: str) -> Record:
        """A photograph; its mask is ``masks/NAME.png``, if there is one."""
        mask = self.root / self.settings.masks / f"{name}.png"
        truth = (lambda: require_values(mask, read_mask(mask), self.classes)) if mask.is_file() else None
        return Record(name, self.images[name], self.tags[name], truth)


def read_rows(path: Path, settings: TableSettings) -> Iterator[tuple[int, str, list[str], str]]:
    """Line, photograph, labels and list of every row.

    Raises:
        DataError: no UTF-8, a column is missing, or a row names no photograph.
    """
    wanted = [settings.image, settings.labels, *([settings.split] if settings.split else [])]
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=settings.delimiter)
            header = [name.strip() for name in next(reader, [])]
            columns = [column_of(path, name, header) for name in wanted]
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise DataError(
                        f"{path}, line {reader.line_num}: {len(cells)} fields where the header has {len(header)}"
                    )
                image, labels, *split = (cells[column].strip() for column in columns)
                if not image:
                    raise DataError(f"{path}, line {reader.line_num}, column {settings.image}: names no photograph")
                names = [name.strip() for name in labels.split(settings.separator)]
                yield reader.line_num, image, [name for name in names if name], split[0] if split else ""
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: is no CSV in UTF-8: {error}") from None


def column_of(path: Path, name: str, header: Sequence[str]) -> int:
    """Number of a column.

    Raises:
        DataError: there is none of that name; the nearest is named.
    """
    if name in header:
        return list(header).index(name)
    near = difflib.get_close_matches(name, header, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(header) or 'none'}"
    raise DataError(f"{path}, line 1: there is no column {name}; {hint}")
