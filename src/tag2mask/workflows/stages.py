"""Work in stages, which can be resumed after an interruption."""

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
    """The parts of a row of scores that are printed."""

    mask_set: str
    images: Count
    tags: str
    miou: Number | None
    random_miou: Number | None
    miou_interval_95: tuple[Number | None, Number | None]


class Said(Stored, extra="allow"):
    """The parts of a stage's result that are used later."""

    tagged: Count = 0
    splits: dict[str, Count] = Field(default_factory=dict)
    failures: dict[str, str] = Field(default_factory=dict)
    scores: list[Scored] = Field(default_factory=list)


class Stages:
    """The finished stages, stored in ``done.json``; if a stage is run again, all later stages are too."""

    def __init__(self, out: Path) -> None:
        self.path = out / DONE
        self.before: dict[str, Any] = {}
        if self.path.is_file():
            said = read_stored(self.path, dict[str, Said])
            self.before = {name: one.model_dump(exclude_unset=True) for name, one in said.items()}
        self.done: dict[str, Any] = {}

    @classmethod
    def of_folder(cls, out: Path) -> Stages:
        """Open the stages of a folder, which must be vacant or have been begun this way.

        Raises:
            RunError: it holds something else.
        """
        if not (out / DONE).is_file():
            require_vacant(out, ANEW)
            write_json(out / DONE, {})
        return cls(out)

    def stage(self, name: str, product: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the result of ``make``, or the stored one if the stage is finished and ``product`` still exists."""
        if name in self.before and product.exists():
            announce(f"{name}: already finished, {product}")
            self.done[name] = self.before[name]
        else:
            announce(f"{name}: {product}")
            self.before = {}
            self.done[name] = make()
            write_json(self.path, self.done)
        result: dict[str, Any] = self.done[name]
        return result


def announce(line: str) -> None:
    """Print a progress line to stderr."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201
