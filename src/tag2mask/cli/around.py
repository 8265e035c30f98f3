"""Verbs around the rest: presets, reproduce, demo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column

from tag2mask.cli.options import (
    Assignments,
    Json,
    Weights,
    app,
    emit,
    print_scores,
    show_table,
)


@app.command()
def presets(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Print this recipe; none lists them.")] = None,
    as_json: Json = False,
) -> None:
    """The papers' recipes that --preset takes, or the settings of one."""
    from tag2mask.presets import preset_names, read_preset

    if name is not None:
        preset = read_preset(name)
        if not as_json:
            print(preset.text, end="")
        emit({"name": name, "train": preset.train, "masks": preset.masks, "segment": preset.segment}, as_json)
        return
    titles = {name: read_preset(name).title for name in preset_names()}
    if not as_json:
        show_table(["preset", "what"], list(titles.items()))
    emit({"presets": titles}, as_json)


@app.command()
def reproduce(
    row: Annotated[str | None, typer.Argument(metavar="PAPER-TABLE", help="A row of a table; none lists them.")] = None,
    root: Annotated[Path, typer.Option(metavar="DIR", help="Where the data set lies.")] = Path("ROOT"),
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="A folder for all of it [ROW].")] = None,
    weights: Weights = None,
    settings: Assignments = None,
    go: Annotated[bool, typer.Option("--go", help="Run them; called again it goes on.")] = False,
    as_json: Json = False,
) -> None:
    """Print the commands that lead to a published number.

    With --go they run, and the number stands beside ours. --set reaches train.
    """
    from tag2mask.workflows.published import PUBLISHED
    from tag2mask.workflows.reproduce import Reproduction

    if row is None:
        print_published({name: (known.title, known.published) for name, known in PUBLISHED.items()})
        emit({"rows": {name: dict(known.published) for name, known in PUBLISHED.items()}}, as_json)
        return
    options = [] if weights is None else ["--weights", weights]
    for assignment in settings or []:
        options += ["--set", assignment]
    plan = Reproduction(row, root, out or Path(row), options)
    lines = plan.lines()
    if not as_json:
        print("\n".join(lines), flush=True)
    if not go:
        emit({"row": row, "commands": lines}, as_json)
        return
    result = plan.go()
    if not as_json:
        for metric, value in result["results"].items():
            print(f"{metric}: ours {value['ours']:.1f}, published {number(value['published'])}")
    emit(result, as_json)


def number(published: float | None) -> str:
    """A published number, if there is one."""
    return "no number" if published is None else f"{published:.1f}"


def print_published(rows: dict[str, tuple[str, Mapping[str, float | None]]]) -> None:
    """The rows of the papers' tables."""
    cells = [
        [name, title, ", ".join(f"{metric} {number(value)}" for metric, value in published.items())]
        for name, (title, published) in rows.items()
    ]
    show_table([Column("row", no_wrap=True), "what", "published"], cells)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder.")] = Path("demo"),
    as_json: Json = False,
) -> None:
    """The whole way on scenes of handwritten digits.

    No download; about three minutes on two cores.
    """
    from tag2mask.workflows.demo import run_demo

    result = run_demo(out)
    if not as_json:
        print_scores(result["scores"])
        print(f"report: {result['report']}")
    emit(result, as_json)
