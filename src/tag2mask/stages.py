"""Work in stages that is gone on with where it was stopped."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tag2mask.errors import RunError
from tag2mask.files import vacant, write_json

DONE = "done.json"


class Stages:
    """The stages that are finished, on disk in ``done.json``; one that is made again makes all later ones again."""

    def __init__(self, out: Path) -> None:
        self.path = out / DONE
        self.before: dict[str, Any] = read_json(self.path) if self.path.is_file() else {}
        self.done: dict[str, Any] = {}

    @classmethod
    def of_folder(cls, out: Path) -> Stages:
        """Those of a folder that is for nothing else: an empty one, or one that was begun like this.

        Raises:
            RunError: it holds something else.
        """
        if not (out / DONE).is_file():
            if not vacant(out):
                raise RunError(f"{out} is not empty; choose another --out or delete it")
            write_json(out / DONE, {})
        return cls(out)

    def stage(self, name: str, product: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What ``make`` says, or what it said when it was finished before and ``product`` is still there."""
        if name in self.before and product.exists():
            say(f"{name}: finished before, {product}")
            self.done[name] = self.before[name]
        else:
            say(f"{name}: {product}")
            self.before = {}
            self.done[name] = make()
            write_json(self.path, self.done)
        result: dict[str, Any] = self.done[name]
        return result


def read_json(path: Path) -> dict[str, Any]:
    """A file that an earlier call wrote.

    Raises:
        RunError: it is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged ({error}); choose another --out or delete {path.parent}") from None
    return content


def say(line: str) -> None:
    """Where it stands."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201
