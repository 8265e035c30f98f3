"""Progress of long work on stderr: a bar with a rate and an ETA on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
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
    """Things a second."""

    def render(self, task: Task) -> Text:
        """The rate, or nothing before there is one."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


class Bar:
    """One line of progress; ``say`` prints a line above it."""

    def __init__(self, progress: Progress, task: TaskID, console: Console) -> None:
        self.progress = progress
        self.task = task
        self.console = console

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """``count`` more things are done."""
        self.progress.update(self.task, advance=count)
        if note is not None:
            self.progress.update(self.task, note=note)

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress_bar(description: str, total: int | None, done: int = 0, shown: bool = True) -> Iterator[Bar]:
    """A bar for ``total`` things (None: unknown) of which ``done`` are done already; shown on a terminal only."""
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
        yield Bar(progress, task, console)
