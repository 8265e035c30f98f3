"""What a check has found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tag2mask.shown import Shown, Table

SHOWN = 3  # problems of one kind that are printed


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong; an ``error`` stops training, a ``warning`` does not.

    ``images`` are the names of the images that it is about, if it is about some.
    """

    severity: Literal["error", "warning"]
    message: str
    images: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What other images have wrong in the same way: the message without their names and without numbers."""
        message = self.message
        for name in self.images:
            message = hide(name, message)
        return re.sub(r"\d+", "0", message)


def hide(name: str, message: str) -> str:
    """The message with ``NAME`` for a name that stands there as a word; a pattern a name takes ten times as long."""
    hidden, *parts = message.split(name)
    for part in parts:
        inner = any(char.isalnum() or char == "_" for char in hidden[-1:] + part[:1])
        hidden += (name if inner else "NAME") + part
    return hidden


@dataclass
class CheckReport:
    """What a data set holds and what is wrong with it."""

    photographs: int = 0
    classes: tuple[str, ...] = ()
    background: str | None = None
    splits: dict[str, int] = field(default_factory=dict)
    tagged: int = 0
    tags_per_image: dict[int, int] = field(default_factory=dict)
    images_per_class: dict[str, int] = field(default_factory=dict)
    always_together: list[tuple[str, ...]] = field(default_factory=list)
    masks: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def single_tag_images(self) -> int:
        """Images with one tag: what is seen there can be no other class."""
        return self.tags_per_image.get(1, 0)

    @property
    def fatal(self) -> bool:
        """Whether training could not work."""
        return any(problem.severity == "error" for problem in self.problems)

    def error(self, message: str, *images: str) -> None:
        """Note what stops training, and in which images."""
        self.problems.append(Problem("error", message, images))

    def warn(self, message: str, *images: str) -> None:
        """Note what is odd, and in which images."""
        self.problems.append(Problem("warning", message, images))

    def lines(self) -> Iterator[str]:
        """The problems in order; of many that are alike only the first few, and how many more there are."""
        kinds = [(problem.severity, problem.kind) for problem in self.problems]
        counts = Counter(kinds)
        shown: Counter[tuple[str, str]] = Counter()
        for problem, alike in zip(self.problems, kinds, strict=True):
            shown[alike] += 1
            if shown[alike] <= SHOWN or counts[alike] == SHOWN + 1:
                yield f"{problem.severity}: {problem.message}"
            elif shown[alike] == counts[alike]:
                yield f"{problem.severity}: {counts[alike] - SHOWN} more like {problem.message}"

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "single_tag_images": self.single_tag_images, "fatal": self.fatal}

    def shown(self) -> Shown:
        """What the data set holds, and what is wrong."""
        splits = ", ".join(f"{name} {count}" for name, count in self.splits.items()) or "none"
        per_image = ", ".join(f"{count} with {tags}" for tags, count in self.tags_per_image.items())
        shares = {name: f"{100 * count / max(self.tagged, 1):.1f} %" for name, count in self.images_per_class.items()}
        rows = [[name, str(count), shares[name]] for name, count in self.images_per_class.items()]
        errors = sum(problem.severity == "error" for problem in self.problems)
        return [
            f"{self.photographs} images, {self.tagged} with tags; splits: {splits}",
            f"tags per image: {per_image}; true masks: {self.masks}",
            f"images with a single tag: {self.single_tag_images} of {self.tagged}; "
            f"groups of tags that always come together: {len(self.always_together)}",
            Table(["class", "images", "share"], rows),
            *self.lines(),
            f"errors: {errors}, warnings: {len(self.problems) - errors}",
        ]
