"""Atomic writing of files, and locks for folders that a process writes to.

Temporary files have names that begin with ``.tag2mask-``::

    .tag2mask-lock         in a folder that a process writes to
    .tag2mask-HASH.lock    beside a file or folder that is written atomically
    .tag2mask-HASH.new     a folder with the new content of the file or folder whose name has that hash
    .tag2mask-begun        in a folder that cannot be resumed yet: names of files there that may be overwritten

These names are short, since a file's own name may already have 255 bytes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tag2mask.errors import RunError
from tag2mask.notation import to_yaml

OWN = ".tag2mask-"
LOCK, BEGUN = f"{OWN}lock", f"{OWN}begun"
NEW, LOCKED = ".new", ".lock"
PATIENCE = 0.5  # seconds to wait for a lock, since it may just have been released
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EROFS)
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def in_one_move(path: Path, writer: str = "") -> Iterator[Path]:
    """Yield a temporary path to write to, which replaces ``path`` atomically at the end.

    It is in a folder of its own, since libraries may write further files beside theirs; that folder is always deleted.
    ``writer`` separates processes that write the same ``path`` at the same time without a lock.
    """
    room = own_path(path, NEW, writer)
    try:
        delete(room)
        room.mkdir()
        beside = room / ("new" + path.suffix if len(path.suffix) < 9 else "new")
        yield beside
        beside.replace(path)
    except OSError as error:  # an error of a write names no file, or a temporary one
        if error.filename is None or str(error.filename).startswith(str(room)):
            error.filename = str(path)
        raise
    finally:
        delete(room)


def own_path(path: Path, suffix: str, writer: str = "") -> Path:
    """Return the path of a temporary file that belongs to ``path``, beside it."""
    key = hashlib.sha256(f"{path.absolute().name}/{writer}".encode(errors="surrogateescape")).hexdigest()[:16]
    return path.absolute().with_name(f"{OWN}{key}{suffix}")


def delete(path: Path) -> None:
    """Delete a file or folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file to disk, or a folder with all its content except links."""
    if path.is_symlink() or not path.exists():
        return
    if path.is_dir():
        for inner in path.iterdir():
            sync(inner)
    sync_one(path)


def sync_one(path: Path) -> None:
    """Flush a file's content, or the names in a folder, where the system supports it."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes, writer: str = "") -> None:
    """Write a file atomically; ``writer`` as for ``in_one_move``."""
    with in_one_move(path, writer) as beside:
        beside.write_bytes(content)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file atomically, and flush it to disk before and after the move."""
    with in_one_move(path) as beside:
        beside.write_bytes(content)
        sync_one(beside)
    sync_one(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8 and flush it to disk."""
    write_synced(path, text.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an indented JSON object."""
    write_synced(path, json_bytes(content))


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """Return the bytes that ``write_json`` writes."""
    return (json.dumps(content, indent=2) + "\n").encode()


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    """Write a YAML mapping in the given order."""
    write_text(path, to_yaml(content))


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object per line."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Append one JSON object to a journal."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        error.filename = str(path)
        raise


def regular(path: Path) -> Path:
    """Check that a path is not something that could block when it is opened, and return it.

    Raises:
        OSError: it is a pipe, a socket or a device.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, not a file", str(path))
    return path


def is_file(path: Path) -> bool:
    """Return whether the path is a file; a name that is too long for the system is not."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for such a name


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_new(out: Path) -> None:
    """Check that ``out`` does not exist.

    Raises:
        RunError: it does.
    """
    if out.exists():
        raise RunError(f"{out} already exists; choose another name")


def vacant(folder: Path) -> bool:
    """Whether a folder is missing, empty, or holds only files of an attempt that was stopped too early to resume."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    return {path.name for path in folder.iterdir() if not path.name.startswith(OWN)} <= set(list_leftovers(folder))


def list_leftovers(folder: Path) -> list[str]:
    """Return the names that were written before the work could be resumed; none once it can.

    They lie in the folder itself: other paths in a marker are not ours to delete.
    """
    marker = folder / BEGUN
    names = marker.read_text(encoding="utf-8", errors="replace").splitlines() if marker.is_file() else []
    return [name for name in names if name not in ("", ".", "..") and not set("/\\\0") & set(name)]


def stopped_early(folder: Path) -> bool:
    """Whether the folder exists, but holds at most work that was stopped before it could be resumed."""
    return folder.is_dir() and vacant(folder)


def begin(folder: Path, names: Sequence[str]) -> None:
    """Record that ``names`` will be written before the work can be resumed; delete those of an earlier attempt."""
    abandon(folder)
    write_text(folder / BEGUN, "".join(f"{name}\n" for name in names))


def abandon(folder: Path) -> None:
    """Delete the files of an earlier attempt that cannot be resumed, if there are any."""
    for name in list_leftovers(folder):
        delete(folder / name)
    settle(folder)


def settle(folder: Path) -> None:
    """Record that the work in a folder can be resumed from now on."""
    (folder / BEGUN).unlink(missing_ok=True)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Lock ``folder`` against other tag2mask processes.

    It is created with its parents; folders that stay empty are removed again. Temporary files that a killed process
    left there are deleted.

    Raises:
        RunError: another process uses it, or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose another --out")
    with made(folder), locked(folder / LOCK, folder):
        sweep(folder)
        yield


@contextmanager
def reserved(path: Path) -> Iterator[None]:
    """Lock a file, or a folder that is written atomically, against other tag2mask processes.

    Parents are created as by ``held``.

    Raises:
        RunError: another process uses it.
    """
    with made(path.absolute().parent), locked(own_path(path, LOCKED), path):
        yield


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Create a folder with its parents; those that stay empty are removed again."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in missing:
            with suppress(OSError):  # not empty
                path.rmdir()


@contextmanager
def locked(path: Path, what: Path) -> Iterator[None]:
    """Hold the lock file ``path`` of ``what`` until the end, or until this process dies.

    Forked workers do not hold the lock: ``filelock`` closes it in them. The file is deleted while it is still locked;
    a process that opened it before notices that its name is gone, and creates another.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=PATIENCE, poll_interval=PATIENCE / 10)
    except Timeout:
        raise RunError(f"{what} is in use by another tag2mask process; wait for it, or choose another --out") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        line = f"{what} cannot be locked ({error.strerror}): do not let other tag2mask processes use it"
        print(line, file=sys.stderr, flush=True)  # noqa: T201
    try:
        yield
    finally:
        with suppress(OSError):  # Windows cannot delete an open file
            path.unlink(missing_ok=True)
        lock.release()


def sweep(folder: Path, older: float = 0.0) -> None:
    """Delete temporary files that a killed process left below a folder, unless another process may be writing them.

    Such a process holds a lock, on an inner folder or on the file itself; a stale lock file is deleted when its owner
    is called again. Where writers hold no lock, only files at least ``older`` seconds old are deleted.
    """
    for place, folders, files in os.walk(folder):
        if place != str(folder) and LOCK in files:
            folders.clear()
            continue
        for name in [name for name in folders if name.startswith(OWN) and name.endswith(NEW)]:
            folders.remove(name)
            path = Path(place, name)
            with suppress(FileNotFoundError):  # its writer has finished in the meantime
                if name.removesuffix(NEW) + LOCKED not in files and time.time() - path.stat().st_mtime >= older:
                    shutil.rmtree(path, ignore_errors=True)
