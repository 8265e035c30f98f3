"""Names read from files, checked before they become paths."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tag2mask.errors import DataError

SPLIT = re.compile(r"\w[\w.-]{0,99}")


def inside(folder: Path, name: str, where: object, start: Path | None = None) -> Path:
    """Return the path of ``name`` in ``folder``, relative to ``start`` if given, else to ``folder``.

    Links in the folder are followed, since the user made them. ``where`` locates the name in error messages.

    Raises:
        DataError: the name is empty or points outside the folder.
    """
    if not name or "\0" in name:
        raise DataError(f"{where}: {name[:100]!r} is not a file name")
    root = os.path.abspath(folder)  # noqa: PTH100 - resolve would follow links
    path = os.path.normpath(os.path.join(root if start is None else os.path.abspath(start), name))  # noqa: PTH100, PTH118
    if not path.startswith(os.path.join(root, "")):  # noqa: PTH118
        raise DataError(f"{where}: the name {name[:100]!r} points outside {folder}; rename it")
    return folder / os.path.relpath(path, root)


def split_name(name: str, where: object) -> str:
    """Check the name of a split, which becomes the name of files and folders.

    Raises:
        DataError: it contains anything but letters, digits, dots, underscores and hyphens.
    """
    if not SPLIT.fullmatch(name):
        raise DataError(
            f"{where}: {name[:100]!r} cannot name a split; use letters, digits, . _ and -, starting with a letter or "
            "digit"
        )
    return name
