"""Verbs about data: check."""

from __future__ import annotations

from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from tag2mask.cli.options import (
    Assignments,
    DataFolder,
    Json,
    app,
    emit,
)


@app.command()
def check(data: DataFolder, settings: Assignments = None, as_json: Json = False) -> None:
    """Look a data set over: counts and what is wrong.

    Exit code 1 if training could not work.
    """
    from tag2mask.data import DataSettings
    from tag2mask.data.check import check as look_over
    from tag2mask.settings import assign
    from tag2mask.training.progress import progress_bar

    chosen = DataSettings.parse(assign({}, settings or []))
    with progress_bar("check", None) as bar:
        report = look_over(data, chosen, bar.advance)
    if not as_json:
        print_check(report.to_json())
    emit(report.to_json(), as_json)
    if report.fatal:
        raise typer.Exit(1)


def print_check(report: dict[str, Any]) -> None:
    """Tables of what a data set holds."""
    console = Console(soft_wrap=True)
    splits = ", ".join(f"{name} {count}" for name, count in report["splits"].items()) or "none"
    console.print(
        f"{report['photographs']} photographs, {report['tagged']} with tags; splits: {splits}", highlight=False
    )
    per_image = ", ".join(f"{count} with {tags}" for tags, count in report["tags_per_image"].items())
    console.print(f"tags a photograph: {per_image}; truth masks: {report['masks']}", highlight=False)
    table = Table("class", "photographs", "share")
    for name, count in report["images_per_class"].items():
        table.add_row(name, str(count), f"{100 * count / max(report['tagged'], 1):.1f} %")
    console.print(table)
    for problem in report["problems"]:
        console.print(f"{problem['severity']}: {problem['message']}", highlight=False, markup=False)
    errors = sum(problem["severity"] == "error" for problem in report["problems"])
    console.print(f"{errors} errors, {len(report['problems']) - errors} warnings", highlight=False)
