"""Progress on stderr: a bar with rate and ETA on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class RateColumn(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        """Return the rate, or an empty text before it is known."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


See = Callable[[str, int], None]
watching: list[See] = []


@contextmanager
def watched(see: See) -> Iterator[None]:
    """In this context, call ``see`` with a bar's description and number of items whenever items are done."""
    watching.append(see)
    try:
        yield
    finally:
        watching.remove(see)


class Bar:
    """One progress bar; ``say`` prints a line above it."""

    def __init__(self, progress: Progress, task: TaskID, console: Console, description: str) -> None:
        self.progress = progress
        self.task = task
        self.console = console
        self.description = description

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Count ``count`` more items as done, and show a note."""
        for see in watching:
            see(self.description, count)
        self.progress.update(self.task, advance=count)
        if note is not None:
            self.progress.update(self.task, note=note)

    def expect(self, total: int) -> None:
        """Set the number of items, done and to come."""
        self.progress.update(self.task, total=total)

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress_bar(description: str, total: int | None, done: int = 0, shown: bool = True) -> Iterator[Bar]:
    """Show a bar for ``total`` items (None: unknown), ``done`` of them already done; drawn only on a terminal."""
    console = Console(file=sys.stderr)
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    ]
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as progress:
        task = progress.add_task(description, total=total, completed=done, note="")
        yield Bar(progress, task, console, description)
