"""Files that are either whole or not there, and folders that one process writes to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tag2mask.errors import RunError
from tag2mask.notation import to_yaml

try:
    import fcntl
except ImportError:  # Windows: folders are not held there
    fcntl = None  # type: ignore[assignment]


@contextmanager
def in_one_move(path: Path) -> Iterator[Path]:
    """A place beside ``path`` to write to; what was written takes the place of ``path`` in one move."""
    beside = path.with_name(f".{path.name}.new")
    yield beside
    beside.replace(path)


def write_text(path: Path, text: str) -> None:
    """A text, on the disk before it takes its place."""
    with in_one_move(path) as beside, beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """A JSON object, indented."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    """A YAML mapping in the order given."""
    write_text(path, to_yaml(content))


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def vacant(folder: Path) -> bool:
    """Whether something new can be made there: nothing is, or an empty folder."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep ``folder`` from other processes of ours. It is made, with its parents; what stays empty goes again.

    Raises:
        RunError: another process has it, or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose another --out")
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    handle = lock(folder)
    try:
        yield
    finally:
        if handle is not None:
            unlock(handle)
        for path in missing:
            with suppress(OSError):  # not empty
                path.rmdir()


def lock(folder: Path) -> int | None:
    """A handle that locks it until it is unlocked or the process ends, where folders can be locked."""
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise RunError(f"{folder} is in use by another tag2mask; let that one end, or choose another --out") from None
    except OSError:  # a network file system that locks no folders
        os.close(handle)
        return None
    return handle


def unlock(handle: int) -> None:
    """Closing alone is not enough: a loader's workers have the handle too."""
    fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)
