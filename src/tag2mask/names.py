"""Names that came from a file, before they become paths."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tag2mask.errors import DataError

SPLIT = re.compile(r"\w[\w.-]{0,99}")


def inside(folder: Path, name: str, where: object, start: Path | None = None) -> Path:
    """The path that ``name`` stands for in ``folder``, seen from ``start`` there, else from ``folder`` itself.

    Links in the folder are followed: who gives a folder has made them. ``where`` says in errors where the name stands.

    Raises:
        DataError: it is empty or leads out of the folder.
    """
    if not name or "\0" in name:
        raise DataError(f"{where}: {name[:100]!r} is no name of a file")
    root = os.path.abspath(folder)  # noqa: PTH100 - resolve would follow links
    path = os.path.normpath(os.path.join(root if start is None else os.path.abspath(start), name))  # noqa: PTH100, PTH118
    if not path.startswith(os.path.join(root, "")):  # noqa: PTH118
        raise DataError(f"{where}: the name {name[:100]!r} leads out of {folder}; rename it")
    return folder / os.path.relpath(path, root)


def split_name(name: str, where: object) -> str:
    """The name of a split, which names files and folders.

    Raises:
        DataError: it holds more than letters, digits, dots, underscores and hyphens.
    """
    if not SPLIT.fullmatch(name):
        raise DataError(
            f"{where}: {name[:100]!r} cannot name a split; wanted letters, digits, . _ and -, a letter or digit first"
        )
    return name
