"""Files of the ``datasets`` library, Arrow streams and Parquet: memory-mapped and never read as a whole."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

from tag2mask.errors import DataError
from tag2mask.files import regular
from tag2mask.names import inside
from tag2mask.notation import from_json

BATCH = 16  # rows of Parquet in memory at a time, besides the page that holds them
PART = re.compile(r"-\d+-of-\d+")  # train-00000-of-00002-5af744adb8610bf6.parquet
SPLIT = re.compile(r"\w+(\.\w+)*")  # the library's own rule; train[:10%] is a slice, not a name
POINTER = b"version https://git-lfs"


def find_files(root: Path, layout: str) -> dict[str, list[Path]]:
    """Return files by split, in order; an unnamed split is "".

    Raises:
        DataError: ``root`` does not have the layout.
    """
    whole = root / "dataset_dict.json"
    if whole.is_file():
        splits = read_json(whole, "splits")
        if not isinstance(splits, list) or not splits:
            raise DataError(f"{whole}: names no split")
        return {str(split): saved_files(inside(root, str(split), whole)) for split in splits}
    if (root / "state.json").is_file():
        split = str(read_json(root / "state.json", "_split") or "")
        return {split if SPLIT.fullmatch(split) else "": saved_files(root)}
    found: dict[str, list[Path]] = {}
    for path in [*sorted(root.glob("*.parquet")), *sorted(root.glob("data/*.parquet"))]:
        found.setdefault(PART.split(path.stem)[0], []).append(path)
    if not found:
        raise DataError(f"{root}: holds neither dataset_dict.json, state.json nor Parquet; expected: {layout}")
    return found


def saved_files(folder: Path) -> list[Path]:
    """Return the files of one split written by ``save_to_disk``.

    Raises:
        DataError: ``state.json`` is missing, or a file of indices selects the rows.
    """
    state = folder / "state.json"
    if read_json(state, "_indices_data_files"):
        raise DataError(f"{state}: rows are selected by indices; save the data set again after flatten_indices()")
    try:
        files = [inside(folder, str(row["filename"]), state) for row in read_json(state, "_data_files") or ()]
    except (TypeError, KeyError):
        files = []
    if not files:
        raise DataError(f"{state}: names no data file")
    return files


def read_json(path: Path, key: str) -> Any:
    """Return a value of a JSON object, None if the key is missing.

    Raises:
        DataError: the file is missing or not a JSON object.
    """
    try:
        return from_json(regular(path).read_bytes()).get(key)
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: is not a readable JSON object ({error})") from None


class Rows(ABC):
    """One file of rows; ``schema`` is its Arrow schema."""

    path: Path
    schema: Any

    @abstractmethod
    def column(self, name: str) -> list[Any]:
        """Return all values of a small column, lists as lists.

        Raises:
            DataError: the file is damaged.
        """

    @abstractmethod
    def row(self, number: int, names: Sequence[str]) -> dict[str, Any]:
        """Return some columns of one row; cheap if rows are read in order.

        Raises:
            DataError: the file is damaged there.
        """


class ArrowRows(Rows):
    """An Arrow stream of record batches."""

    def __init__(self, path: Path) -> None:
        """Map the file; only lengths and offsets are read."""
        import pyarrow

        self.path = path
        with intact(path):
            self.table = pyarrow.ipc.open_stream(pyarrow.memory_map(str(path))).read_all()
        self.schema = self.table.schema

    def column(self, name: str) -> list[Any]:
        """Return a column, copied from the mapped file."""
        with intact(self.path):
            return list(self.table.column(name).to_pylist())

    def row(self, number: int, names: Sequence[str]) -> dict[str, Any]:
        """Return columns of a row, copied from the mapped file."""
        with intact(self.path):
            return {name: self.table.column(name)[number].as_py() for name in names}


class ParquetRows(Rows):
    """A Parquet file; row groups are never read as a whole, since some writers put all rows into one."""

    def __init__(self, path: Path) -> None:
        """Read the positions of the row groups."""
        from pyarrow import parquet

        self.path = path
        with intact(path):
            self.file = parquet.ParquetFile(path, memory_map=True)
        self.schema = self.file.schema_arrow
        groups = range(self.file.num_row_groups)
        self.starts = list(accumulate((self.file.metadata.row_group(group).num_rows for group in groups), initial=0))
        self.names: Sequence[str] = ()
        self.group, self.start, self.batch = -1, 0, self.schema.empty_table()
        self.batches: Iterator[Any] = iter(())

    def column(self, name: str) -> list[Any]:
        """Return one column of all row groups."""
        with intact(self.path):
            return list(self.file.read(columns=[name]).column(name).to_pylist())

    def row(self, number: int, names: Sequence[str]) -> dict[str, Any]:
        """Return columns of a row, by reading on to its batch or starting again at its row group."""
        group = bisect_right(self.starts, number) - 1
        with intact(self.path):
            if group != self.group or number < self.start or names != self.names:
                self.group, self.start, self.names = group, self.starts[group], names
                self.batch = self.schema.empty_table()
                self.batches = self.file.iter_batches(BATCH, row_groups=[group], columns=list(names))
            while number >= self.start + self.batch.num_rows:
                batch = next(self.batches, None)
                if batch is None:
                    raise DataError(f"{self.path}: row {number} cannot be read; download the file again")
                self.start, self.batch = self.start + self.batch.num_rows, batch
            return dict(self.batch.slice(number - self.start, 1).to_pylist()[0])


def open_rows(path: Path) -> Rows:
    """Open a file according to its suffix.

    Raises:
        DataError: it is missing, damaged, or a git-lfs pointer.
    """
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(POINTER)) == POINTER:
                raise DataError(f"{path}: is a git-lfs pointer, not the data; run git lfs pull in that folder")
    return ParquetRows(path) if path.suffix == ".parquet" else ArrowRows(path)


@contextmanager
def intact(path: Path) -> Iterator[None]:
    """Turn Arrow's errors about a file into ``DataError``."""
    import pyarrow

    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())}); download the file again") from None


def require_pyarrow(root: Path) -> None:
    """Check that the extra ``hf`` is installed.

    Raises:
        DataError: it is not.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise DataError(f"{root}: Arrow and Parquet need the extra hf: pip install 'tag2mask[hf]'") from None
