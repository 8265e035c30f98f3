"""Names of places in object stores: URLs, and the local folders that stand for them in this process."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

STORES: Mapping[str, str] = MappingProxyType({"s3": "s3fs", "gs": "gcsfs", "memory": "fsspec"})  # and what each needs


@cache
def views() -> Path:
    """Return the folder of this process's views, ``SCHEME/BUCKET/...``; it is deleted when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="tag2mask-")).resolve()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def is_view(path: Path) -> bool:
    """Whether a path is in a view."""
    return bool(views.cache_info().currsize) and path.is_relative_to(views())


def spell(text: str) -> str:
    """Return a text with URLs in place of the paths of views."""
    if views.cache_info().currsize:
        for scheme in STORES:
            text = text.replace(f"{views() / scheme}/", f"{scheme}://")
    return text


def place_name(path: Path) -> str:
    """Return the name of a file or folder that is the same for all processes: its URL, or its resolved path."""
    return spell(str(path)) if is_view(path) else str(path.resolve())
