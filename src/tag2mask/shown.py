"""What results show to people: lines, and tables that whoever prints them lays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Table:
    """Cells below their columns' names."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


Shown = Sequence[str | Table]


class Result(Protocol):
    """What a verb comes to."""

    def to_json(self) -> Mapping[str, Any]:
        """For programs."""

    def shown(self) -> Shown:
        """For people."""


@dataclass(frozen=True)
class PlainResult:
    """A result that is no object of its own."""

    content: Mapping[str, Any]
    lines: Shown

    def to_json(self) -> Mapping[str, Any]:
        """For programs."""
        return self.content

    def shown(self) -> Shown:
        """For people."""
        return self.lines
