"""The result of a check."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tag2mask.shown import Shown, Table, counted

SHOWN = 3  # problems printed per kind


@dataclass(frozen=True)
class Problem:
    """One problem; an ``error`` stops training, a ``warning`` does not.

    ``images`` are the names of the images concerned, if any.
    """

    severity: Literal["error", "warning"]
    message: str
    images: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The message without image names and numbers; problems of one kind share it."""
        message = self.message
        for name in self.images:
            message = hide(name, message)
        return re.sub(r"\d+", "0", message)


def hide(name: str, message: str) -> str:
    """Replace a name by ``NAME`` where it is a whole word; a regular expression per name is ten times slower."""
    hidden, *parts = message.split(name)
    for part in parts:
        inner = any(char.isalnum() or char == "_" for char in hidden[-1:] + part[:1])
        hidden += (name if inner else "NAME") + part
    return hidden


@dataclass
class CheckReport:
    """The content of a data set and its problems."""

    images: int = 0
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
        """Number of images with exactly one tag, which show no other class."""
        return self.tags_per_image.get(1, 0)

    @property
    def fatal(self) -> bool:
        """Whether training cannot run: there is an error."""
        return any(problem.severity == "error" for problem in self.problems)

    def error(self, message: str, *images: str) -> None:
        """Add a problem that stops training, and the images it concerns."""
        self.problems.append(Problem("error", message, images))

    def warn(self, message: str, *images: str) -> None:
        """Add a problem that does not stop training, and the images it concerns."""
        self.problems.append(Problem("warning", message, images))

    def lines(self) -> Iterator[str]:
        """Yield the problems in order; of each kind only the first few, then the number of further ones."""
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
        """Return the report for ``--json``."""
        return {**asdict(self), "single_tag_images": self.single_tag_images, "fatal": self.fatal}

    def shown(self) -> Shown:
        """The content of the data set, if it has images, and its problems, for printing."""
        errors = sum(problem.severity == "error" for problem in self.problems)
        content = self.describe_content() if self.images else []
        return [
            *content,
            *self.lines(),
            f"errors: {errors}, warnings: {len(self.problems) - errors}",
        ]

    def describe_content(self) -> Shown:
        """Return the numbers of images, tags and masks, for printing."""
        splits = ", ".join(f"{name} {count}" for name, count in self.splits.items()) or "none"
        per_image = ", ".join(f"{count} with {tags}" for tags, count in self.tags_per_image.items()) or "none"
        shares = {name: f"{100 * count / max(self.tagged, 1):.1f} %" for name, count in self.images_per_class.items()}
        rows = [[name, str(count), shares[name]] for name, count in self.images_per_class.items()]
        return [
            f"{counted(self.images, 'image')}, {self.tagged} with tags; splits: {splits}",
            f"tags per image: {per_image}; true masks: {self.masks}",
            f"images with a single tag: {self.single_tag_images} of {self.tagged}; "
            f"groups of tags that always occur together: {len(self.always_together)}",
            Table(["class", "images", "share"], rows),
        ]
