"""Verbs around the rest: presets, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tag2mask.cli.options import (
    Json,
    app,
    emit,
    print_scores,
)


@app.command()
def presets(as_json: Json = False) -> None:
    """The papers' recipes that --preset takes."""
    from tag2mask.presets import preset_names, read_preset

    titles = {name: read_preset(name).title for name in preset_names()}
    if not as_json:
        table = Table("preset", "what")
        for row in titles.items():
            table.add_row(*row)
        Console(soft_wrap=True).print(table)
    emit({"presets": titles}, as_json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder.")] = Path("demo"),
    as_json: Json = False,
) -> None:
    """The whole way on scenes of handwritten digits.

    No download; about three minutes on two cores.
    """
    from tag2mask.demo import run_demo

    result = run_demo(out)
    if not as_json:
        print_scores(result["scores"])
        print(f"report: {result['report']}")
    emit(result, as_json)
