"""Object stores, ``s3://`` and ``gs://``, through fsspec: fetching what a view links to, and uploading.

A view is a local folder with a link for every object (``data/remote.py``). The links lead into a cache, to files that
are named after the object's URL, size and ETag; until it is fetched, a link is broken.

::

    CACHE/files/...     kept until you delete it
    CACHE/images/...    the oldest are deleted when there are too many
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from tag2mask.data.folder import is_image
from tag2mask.data.sample import Sample
from tag2mask.errors import RemoteError, SettingsError
from tag2mask.files import in_one_move
from tag2mask.progress import progress_bar
from tag2mask.urls import STORES, is_view, spell

URL = re.compile(r"([a-z][a-z0-9+.]+):/+(.*)", re.DOTALL)  # pathlib leaves one slash of two
FILES, IMAGES = "files", "images"
AT_ONCE, AHEAD = 16, 64  # downloads at the same time, images fetched before they are needed
REVISION = ("ETag", "etag", "md5Hash", "created")  # what changes with an object's content
FULL = (errno.ENOSPC, errno.EDQUOT)
PLACE, SIZE = "TAG2MASK_CACHE", "TAG2MASK_CACHE_GB"  # variables: the cache's folder, and how much of images it keeps


def split_url(place: str | Path) -> tuple[str, str]:
    """Return the scheme and the rest of a URL; the scheme of a path is empty.

    Raises:
        SettingsError: it has an unknown scheme.
    """
    found = URL.fullmatch(str(place))
    if found is None:
        return "", str(place)
    if found[1] not in STORES and found[1] != "file":
        raise SettingsError(f"{found[1]}://{found[2]}: URLs may begin with s3://, gs:// or file://")
    return found[1], found[2].strip("/")


def connect(scheme: str) -> Any:
    """Return fsspec's file system of a scheme.

    Raises:
        SettingsError: its package is not installed.
    """
    return opened(scheme, os.getpid())


@cache
def opened(scheme: str, process: int) -> Any:
    """``connect``, once in a process: fsspec itself would connect anew in every thread."""
    try:
        import_module(STORES[scheme])
        return import_module("fsspec").filesystem(scheme)
    except ImportError:
        extra = "tag2mask[cloud]" if scheme != "gs" else "tag2mask[cloud]' 'gcsfs"
        raise SettingsError(f"{scheme}:// needs the package {STORES[scheme]}: pip install '{extra}'") from None


@contextmanager
def reaching(path: Path) -> Iterator[None]:
    """Turn the errors of an object store into one line; each library raises its own.

    Raises:
        RemoteError: it cannot be reached, or refuses.
    """
    try:
        yield
    except RemoteError:
        raise
    except PermissionError as error:
        raise RemoteError(f"{path}: access denied ({of_store(error)}); check your credentials") from None
    except FileNotFoundError as error:
        raise RemoteError(f"{path}: not found ({of_store(error)}); check the spelling") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:  # of the local disk
            raise
        advice = "check your credentials" if "redential" in type(error).__name__ else "check the connection"
        raise RemoteError(f"{path}: {of_store(error)}; {advice}, then run again") from None


def of_store(error: Exception) -> str:
    """Return what a store said, shortened."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def list_objects(path: Path) -> dict[str, Mapping[str, Any]]:
    """Return what a store knows of all objects below ``path`` in a view, by their names in the store.

    Raises:
        RemoteError, SettingsError: it cannot be listed.
    """
    scheme, key = split_url(spell(str(path)))
    store = connect(scheme)
    with reaching(path):
        store.invalidate_cache()
        found: dict[str, Mapping[str, Any]] = store.find(key, detail=True)
    return found


def cached(path: Path, info: Mapping[str, Any], cache: Path) -> Path:
    """Return where a cache keeps the content of an object; its name ends with the number of bytes."""
    revision = next((info[key] for key in REVISION if key in info), "")
    name = hashlib.sha256(f"{spell(str(path))}\n{revision}".encode(errors="surrogateescape")).hexdigest()
    return cache / (IMAGES if is_image(path) else FILES) / f"{name[:40]}-{info['size']}"


def cache_folder() -> Path:
    """Return the folder of the cache: ``$TAG2MASK_CACHE``, or ``tag2mask`` in the user's folder for caches."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get(PLACE) or base / "tag2mask").absolute()


def bring(path: Path) -> None:
    """Fetch the content of a file in a view unless it is there; nothing happens to any other path.

    Raises:
        RemoteError: it cannot be fetched.
    """
    if not is_view(path) or not path.is_symlink() or path.exists():
        return
    target = path.readlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    scheme, key = split_url(spell(str(path)))
    store = connect(scheme)
    with in_one_move(target, f"{os.getpid()}-{threading.get_ident()}") as beside:
        with reaching(path):
            store.get_file(key, str(beside))
        if f"{beside.stat().st_size}" != target.name.rpartition("-")[2]:
            raise RemoteError(f"{path}: its size has changed, or the download was cut off; run again")


def prune(folder: Path, most: int) -> None:
    """Delete the oldest files of a folder until the others have at most ``most`` bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    with os.scandir(folder) as entries:
        found = [(one.stat().st_mtime, one.stat().st_size, one.path) for one in entries if one.is_file()]
    excess = sum(size for _, size, _ in found) - most
    for _, size, path in sorted(found):
        if excess <= 0:
            return
        with suppress(FileNotFoundError):  # another process was faster
            os.unlink(path)  # noqa: PTH108
        excess -= size


def most_of_images() -> int:
    """Return how many bytes of images the cache keeps.

    Raises:
        SettingsError: the variable is not a number.
    """
    text = os.environ.get(SIZE, "10")
    if not re.fullmatch(r"\d{1,6}(\.\d{1,9})?", text):
        raise SettingsError(f"{SIZE}={text[:100]}: expected a number of gigabytes")
    return int(float(text) * 1e9)


def bring_all(paths: Sequence[Path]) -> None:
    """Fetch several files at once."""
    missing = [path for path in paths if not path.exists()]
    with progress_bar("fetch", len(missing), shown=len(missing) > 1) as bar, ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(bring, missing):
            bar.advance()


def with_images(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Yield samples; the images of a view are fetched before, some of them ahead."""
    if not any(is_view(sample.image) for sample in samples):
        yield from samples
        return
    most, waiting = most_of_images(), deque[tuple[Sample, Future[None]]]()
    with ThreadPoolExecutor(AT_ONCE, "fetch") as pool:
        try:
            for number, sample in enumerate(samples):
                if number % AHEAD == 0:
                    prune(cache_folder() / IMAGES, most)
                waiting.append((sample, pool.submit(bring, sample.image)))
                if len(waiting) > AHEAD:
                    yield when_there(*waiting.popleft())
            while waiting:
                yield when_there(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def when_there(sample: Sample, fetched: Future[None]) -> Sample:
    """Return the sample once its image is fetched."""
    fetched.result()
    return sample


def send(path: Path) -> None:
    """Upload a file written in a view, and delete it here; nothing happens to any other path.

    An object appears in the store when it is complete.

    Raises:
        RemoteError: it cannot be uploaded.
    """
    if not is_view(path):
        return
    scheme, key = split_url(spell(str(path)))
    store = connect(scheme)
    try:
        with reaching(path):
            store.put_file(str(path), key)
            store.invalidate_cache()
            if store.info(key)["size"] != path.stat().st_size:
                store.rm_file(key)
                raise RemoteError(f"{path}: was not uploaded completely; run again")
    finally:
        path.unlink()
