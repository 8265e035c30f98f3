"""Results for printing: lines of text, and tables."""

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


def say(shown: Shown) -> None:
    """Print lines, and tables as narrow as possible; text that looks like markup is printed as is."""
    from rich import box, table
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for one in shown:
        if isinstance(one, str):
            console.print(Text(one))
            continue
        columns = [table.Column(name, no_wrap=name == "row") for name in one.columns]
        laid = table.Table(*columns, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for row in one.rows:
            laid.add_row(*map(Text, row))
        console.print(laid)
