"""Results for printing: lines of text, and tables that the caller lays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Table:
    """A table of texts with column names."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


Shown = Sequence[str | Table]


class Result(Protocol):
    """The result of a command."""

    def to_json(self) -> Mapping[str, Any]:
        """Return the result for ``--json``."""

    def shown(self) -> Shown:
        """Return the result for printing."""


def counted(count: int, noun: str) -> str:
    """Return a number and its noun, such as 1 image or 2 images."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@dataclass(frozen=True)
class PlainResult:
    """A result without a class of its own."""

    content: Mapping[str, Any]
    lines: Shown

    def to_json(self) -> Mapping[str, Any]:
        """Return the result for ``--json``."""
        return self.content

    def shown(self) -> Shown:
        """Return the result for printing."""
        return self.lines
