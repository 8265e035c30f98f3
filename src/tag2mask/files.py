"""Files that are either whole or not there, and folders that one process writes to.

What stands beside our files for a while has a name that begins with ``.tag2mask-``::

    .tag2mask-lock         in a folder that a process writes to
    .tag2mask-HASH.lock    beside a file or folder that is made in one go
    .tag2mask-HASH.new     a folder with what is to take the place of the file or folder with that hash of its name
    .tag2mask-begun        in a folder with nothing to go on from yet: what may be written anew there

The names are short, since a file's own may have 255 bytes already.
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
PATIENCE = 0.5  # seconds for a lock: one that was just given back is tried again
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EROFS)
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def in_one_move(path: Path, writer: str = "") -> Iterator[Path]:
    """A place to write to; what was written there takes the place of ``path`` in one move.

    The place lies in a folder of its own, which holds what libraries put beside their files, and is deleted in any
    case. ``writer`` keeps those apart who write one ``path`` at the same time and hold no lock.
    """
    room = own_path(path, NEW, writer)
    try:
        delete(room)
        room.mkdir()
        beside = room / ("new" + path.suffix if len(path.suffix) < 9 else "new")
        yield beside
        beside.replace(path)
    except OSError as error:  # of a write, which names no file, or of what nobody asked for
        if error.filename is None or str(error.filename).startswith(str(room)):
            error.filename = str(path)
        raise
    finally:
        delete(room)


def own_path(path: Path, suffix: str, writer: str = "") -> Path:
    """A path beside ``path`` that belongs to it."""
    key = hashlib.sha256(f"{path.absolute().name}/{writer}".encode(errors="surrogateescape")).hexdigest()[:16]
    return path.absolute().with_name(f"{OWN}{key}{suffix}")


def delete(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """What was written is on the disk: a file, or a folder with all that it holds but links."""
    if path.is_symlink() or not path.exists():
        return
    if path.is_dir():
        for inner in path.iterdir():
            sync(inner)
    sync_one(path)


def sync_one(path: Path) -> None:
    """A file's content, or the names in a folder, where the system can do that."""
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
    """A file in one move; ``writer`` as for ``in_one_move``."""
    with in_one_move(path, writer) as beside:
        beside.write_bytes(content)


def write_synced(path: Path, content: bytes) -> None:
    """A file in one move, on the disk before and after it."""
    with in_one_move(path) as beside:
        beside.write_bytes(content)
        sync_one(beside)
    sync_one(path.parent)


def write_text(path: Path, text: str) -> None:
    """A text in UTF-8, on the disk."""
    write_synced(path, text.encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """A JSON object, indented."""
    write_synced(path, json_bytes(content))


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """What ``write_json`` writes."""
    return (json.dumps(content, indent=2) + "\n").encode()


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    """A YAML mapping in the order given."""
    write_text(path, to_yaml(content))


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object a line."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """One JSON object more at the end of a journal."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        error.filename = str(path)
        raise


def regular(path: Path) -> Path:
    """The path, if opening it does not wait for somebody at the other end.

    Raises:
        OSError: it is a pipe, a socket or a device.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, no file", str(path))
    return path


def is_file(path: Path) -> bool:
    """Whether it is a file; one whose name is longer than the system takes is not there."""
    return os.path.isfile(path)  # noqa: PTH113 - Path's own raises for such a name


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_new(out: Path) -> None:
    """Nothing is there.

    Raises:
        RunError: something is.
    """
    if out.exists():
        raise RunError(f"{out} is already there; choose another --out")


def vacant(folder: Path) -> bool:
    """Whether something new can be made there: nothing is, or no more than a beginning that was stopped too early."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    return {path.name for path in folder.iterdir() if not path.name.startswith(OWN)} <= set(list_leftovers(folder))


def list_leftovers(folder: Path) -> list[str]:
    """The names of what was written there before there was anything to go on from; none once there is.

    They lie in the folder itself: whatever else a marker that came from elsewhere names is not ours to delete.
    """
    marker = folder / BEGUN
    names = marker.read_text(encoding="utf-8", errors="replace").splitlines() if marker.is_file() else []
    return [name for name in names if name not in ("", ".", "..") and not set("/\\\0") & set(name)]


def stopped_early(folder: Path) -> bool:
    """Whether the folder is there, and at most a beginning with nothing to go on from in it."""
    return folder.is_dir() and vacant(folder)


def begin(folder: Path, names: Sequence[str]) -> None:
    """Say that ``names`` will be written before there is anything to go on from; those of a stopped beginning go."""
    abandon(folder)
    write_text(folder / BEGUN, "".join(f"{name}\n" for name in names))


def abandon(folder: Path) -> None:
    """Delete a beginning that has nothing to go on from, if there is one."""
    for name in list_leftovers(folder):
        delete(folder / name)
    settle(folder)


def settle(folder: Path) -> None:
    """Say that there is something to go on from."""
    (folder / BEGUN).unlink(missing_ok=True)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep ``folder`` from other processes of ours. It is made, with its parents; what stays empty goes again.

    Temporaries that a killed process left there are deleted.

    Raises:
        RunError: another process has it, or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; choose another --out")
    with made(folder), locked(folder / LOCK, folder):
        sweep(folder)
        yield


@contextmanager
def reserved(path: Path) -> Iterator[None]:
    """Keep a file, or a folder that is made in one go, from other processes of ours. Parents are made as by ``held``.

    Raises:
        RunError: another process has it.
    """
    with made(path.absolute().parent), locked(own_path(path, LOCKED), path):
        yield


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """The folder is there, with its parents; what stays empty goes again."""
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
    """Hold the lock file ``path`` of ``what`` until the end, or until this very process dies.

    Workers that were forked from it do not have the lock: ``filelock`` closes it in them. The file is deleted while it
    is still locked; whoever opened it before then finds that it has no name any more, and makes another.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=PATIENCE, poll_interval=PATIENCE / 10)
    except Timeout:
        raise RunError(f"{what} is in use by another tag2mask; let that one end, or choose another --out") from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        line = f"{what} cannot be locked ({error.strerror}): keep other calls of tag2mask away from it"
        print(line, file=sys.stderr, flush=True)  # noqa: T201
    try:
        yield
    finally:
        with suppress(OSError):  # Windows deletes no open file
            path.unlink(missing_ok=True)
        lock.release()


def sweep(folder: Path, older: float = 0.0) -> None:
    """Delete temporaries that a killed process left anywhere below, but for what others may be writing just now.

    Those have a lock: of a folder within, or of the very file. A stale one goes when its owner is called again. Where
    writers hold no lock, temporaries that are ``older``, in seconds, are deleted.
    """
    for place, folders, files in os.walk(folder):
        if place != str(folder) and LOCK in files:
            folders.clear()
            continue
        for name in [name for name in folders if name.startswith(OWN) and name.endswith(NEW)]:
            folders.remove(name)
            path = Path(place, name)
            with suppress(FileNotFoundError):  # its writer has finished meanwhile
                if name.removesuffix(NEW) + LOCKED not in files and time.time() - path.stat().st_mtime >= older:
                    shutil.rmtree(path, ignore_errors=True)
