"""Inputs and outputs by URL: a local folder that stands for them.

A *view* has a link for every object below a URL. Links to images are broken until the image is read, which fetches it
(``data/stores.py``). The verbs' paths pass through ``fetch``, ``show`` or ``require_local``; everything else sees a
folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tag2mask.data.folder import is_image
from tag2mask.data.stores import bring_all, cache_folder, cached, list_objects, split_url
from tag2mask.errors import RemoteError, SettingsError
from tag2mask.files import OWN
from tag2mask.names import inside
from tag2mask.urls import STORES, is_view, views

STATE = "state.safetensors"  # only a resumed training reads it
TAR = ".tar"  # a shard, which is fetched when it is opened


def require_local(place: str | Path) -> Path:
    """Return a path that is not a URL; ``file://`` is dropped.

    Raises:
        SettingsError: it is the URL of an object store.
    """
    scheme, rest = split_url(place)
    if scheme in STORES:
        text = "only a local path is possible here; docs/clusters.md lists what takes URLs"
        raise SettingsError(f"{scheme}://{rest}: {text}")
    return plain_path(place)


def fetch(place: str | Path) -> Path:
    """Return the local path of an input.

    Of a URL, images and shards are fetched when they are read, everything else now.

    Raises:
        RemoteError: there is nothing, or it cannot be fetched.
        SettingsError: URLs like this are not supported.
        DataError: an object's name leads out of its folder.
    """
    view = show(place)
    if is_view(view):
        later = (path for path in links_in(view) if path.suffix != TAR and path.name != STATE)
        bring_all(require_something(view, [path for path in later if not is_image(path)]))
    return view


def fetch_all(place: str | Path) -> Path:
    """Like ``fetch``, images included."""
    view = show(place)
    if is_view(view):
        bring_all(require_something(view, links_in(view)))
    return view


def require_something(view: Path, wanted: list[Path]) -> list[Path]:
    """Return the files to fetch, after checking that the view is not empty."""
    if not view.exists() and not view.is_symlink():
        raise RemoteError(f"{view}: there is nothing; check the spelling")
    return wanted


def show(place: str | Path) -> Path:
    """Return the local path of a place: of a URL, its view as it is listed now, which is missing if nothing is there.

    Raises:
        RemoteError, SettingsError, DataError: as for ``fetch``.
    """
    scheme, key = split_url(place)
    if scheme not in STORES:
        return plain_path(place)
    root = views() / scheme
    view = inside(root, key, place)
    update(view, objects_in(root, view))
    return view


def plain_path(place: str | Path) -> Path:
    """Return a path, or that of a ``file://`` URL."""
    scheme, rest = split_url(place)
    return Path(f"/{rest}") if scheme == "file" else Path(place)


def objects_in(root: Path, view: Path) -> dict[Path, Mapping[str, Any]]:
    """Return what the store knows of the objects of a view, by their paths.

    Raises:
        DataError: an object's name leads out of the view.
        RemoteError: two objects have the same path.
    """
    found: dict[Path, Mapping[str, Any]] = {}
    own = view.relative_to(root).as_posix()
    for key, info in list_objects(view).items():
        name = key.lstrip("/")
        if name.endswith("/") or OWN in name:  # a marker of a folder; a temporary file
            continue
        path = view if name == own else inside(view, name.removeprefix(f"{own}/"), view)
        if path in found:
            raise RemoteError(f"{path}: two objects have this name; rename one")
        found[path] = info
    return found


def update(view: Path, objects: Mapping[Path, Mapping[str, Any]]) -> None:
    """Make the links of a view those of these objects.

    Raises:
        RemoteError: an object has the path of another's folder.
    """
    for path in set(links_in(view)) - objects.keys():
        path.unlink()
        with suppress(OSError):  # not empty
            for folder in path.relative_to(view.parent).parents[:-1]:
                (view.parent / folder).rmdir()
    cache = cache_folder()
    for path, info in objects.items():
        target = cached(path, info, cache)
        if path.is_symlink() and path.readlink() == target:
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.symlink_to(target)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise RemoteError(f"{path}: is both an object and a folder of objects; rename one") from None


def links_in(view: Path) -> list[Path]:
    """Return all files of a view, fetched or not, sorted."""
    if view.is_symlink():
        return [view]
    found = (Path(folder, name) for folder, _, names in os.walk(view) for name in names)
    return sorted(path for path in found if path.is_symlink())
