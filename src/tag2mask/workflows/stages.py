"""Work in stages that is gone on with where it was stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from tag2mask.beginnings import ANEW, require_vacant
from tag2mask.files import write_json
from tag2mask.stored import Count, Number, Stored, read_stored

DONE = "done.json"


class Scored(Stored, extra="allow"):
    """A row of scores, as far as it is shown."""

    mask_set: str
    images: Count
    tags: str
    miou: Number | None
    random_miou: Number | None
    miou_interval_95: tuple[Number | None, Number | None]


class Said(Stored, extra="allow"):
    """What a stage said, as far as it is looked at."""

    photographs: Count = 0
    splits: dict[str, Count] = Field(default_factory=dict)
    failures: dict[str, str] = Field(default_factory=dict)
    scores: list[Scored] = Field(default_factory=list)


class Stages:
    """The stages that are finished, on disk in ``done.json``; one that is made again makes all later ones again."""

    def __init__(self, out: Path) -> None:
        self.path = out / DONE
        self.before: dict[str, Any] = {}
        if self.path.is_file():
            said = read_stored(self.path, dict[str, Said])
            self.before = {name: one.model_dump(exclude_unset=True) for name, one in said.items()}
        self.done: dict[str, Any] = {}

    @classmethod
    def of_folder(cls, out: Path) -> Stages:
        """Those of a folder that is for nothing else: an empty one, or one that was begun like this.

        Raises:
            RunError: it holds something else.
        """
        if not (out / DONE).is_file():
            require_vacant(out, ANEW)
            write_json(out / DONE, {})
        return cls(out)

    def stage(self, name: str, product: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What ``make`` says, or what it said when it was finished before and ``product`` is still there."""
        if name in self.before and product.exists():
            announce(f"{name}: finished before, {product}")
            self.done[name] = self.before[name]
        else:
            announce(f"{name}: {product}")
            self.before = {}
            self.done[name] = make()
            write_json(self.path, self.done)
        result: dict[str, Any] = self.done[name]
        return result


def announce(line: str) -> None:
    """Where it stands."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201
