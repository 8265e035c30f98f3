"""A folder of results that a benchmark continues only if it was begun with the same arguments."""

from __future__ import annotations

import argparse

from tag2mask.beginnings import require_begun_as
from tag2mask.files import write_json
from tag2mask.stored import read_stored

BEGUN = "begun.json"


def require_same_arguments(arguments: argparse.Namespace, *growing: str) -> None:
    """Check that ``arguments.out`` was begun with these arguments, and create it; those in ``growing`` may change.

    Raises:
        RunError: another argument has another value.
    """
    given = {key: str(value) for key, value in vars(arguments).items() if key not in ("out", *growing)}
    path = arguments.out / BEGUN
    if path.is_file():
        require_begun_as(arguments.out, read_stored(path, dict[str, str]), given)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_json(path, given)
