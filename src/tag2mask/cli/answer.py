"""Print the results of verbs: lines and tables for people, or one JSON object."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tag2mask.shown import Result, Shown


def give(result: Result, as_json: bool, fails: str) -> int:
    """Print a result and return the exit code: 1 if the result has entries under ``fails``, else 0."""
    content = result.to_json()
    if not as_json:
        say(result.shown())
    failed = content[fails] if fails else {}
    if isinstance(failed, dict):
        for name, reason in failed.items():
            print(f"failed: {name}: {reason}", file=sys.stderr)
    if as_json:
        print(json.dumps(content))
    return int(bool(failed))


def say(shown: Shown) -> None:
    """Print lines, and tables as narrow as possible; text that looks like markup is printed as is."""
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    console = Console(soft_wrap=True)
    for one in shown:
        if isinstance(one, str):
            console.print(Text(one))
            continue
        columns = [Column(name, no_wrap=name == "row") for name in one.columns]
        table = Table(*columns, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for row in one.rows:
            table.add_row(*map(Text, row))
        console.print(table)
