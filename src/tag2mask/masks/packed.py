"""Files inside an uncompressed tar, read at their place, and files in memory; nothing is ever extracted.

Tars are not trusted: a member is a range of bytes within the file, its name is only a key.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tag2mask.data.reading import read_mask
from tag2mask.data.stores import bring
from tag2mask.errors import DataError
from tag2mask.files import regular


@dataclass(frozen=True)
class Packed:
    """A member of a tar: its name, and where its bytes are."""

    tar: Path
    name: str
    start: int
    size: int

    def __str__(self) -> str:
        return f"{self.tar}/{self.name}"

    def read(self) -> bytes:
        """Read the bytes.

        Raises:
            OSError: the tar cannot be read.
        """
        with self.tar.open("rb") as file:
            file.seek(self.start)
            return file.read(self.size)


@dataclass(frozen=True)
class InMemory:
    """A file whose bytes were read, and where they came from."""

    path: Path
    content: bytes

    def __str__(self) -> str:
        return str(self.path)

    def read(self) -> bytes:
        """Return the bytes."""
        return self.content


File = Path | Packed | InMemory


def list_members(tar: Path) -> dict[str, Packed]:
    """Return the members of a tar by name.

    Raises:
        ValueError: it is not a tar or is cut off, or a member is not a plain file or occurs twice.
        OSError: it cannot be read.
    """
    bring(tar)
    length = regular(tar).stat().st_size
    found: dict[str, Packed] = {}
    try:
        with tarfile.open(tar, "r:") as opened:
            for info in opened:
                if info.type != tarfile.REGTYPE or info.issparse():
                    raise ValueError(f"its member {info.name[:100]!r} is not a plain file")
                if info.name in found:
                    raise ValueError(f"its member {info.name[:100]!r} occurs twice")
                if info.size < 0 or info.offset_data + info.size > length:
                    raise ValueError(f"its member {info.name[:100]!r} is cut off")
                found[info.name] = Packed(tar, info.name, info.offset_data, info.size)
    except (tarfile.TarError, EOFError, OverflowError, MemoryError, RecursionError) as error:
        raise ValueError(f"it is not a whole tar: {error}") from None
    return found


def labels_in(file: File) -> NDArray[np.int64]:
    """Read a label image ``(Y, X)``, as ``read_mask`` does.

    Raises:
        DataError: it is missing, unreadable, or a colour image.
    """
    if isinstance(file, Path):
        return read_mask(file)
    try:
        content = file.read()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    return read_mask(Path(str(file)), content)
