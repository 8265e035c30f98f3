"""The application, and what its verbs have in common."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Assignments = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any setting; repeatable.")]
Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="A YAML file of settings.")]
PresetName = Annotated[str | None, typer.Option("--preset", metavar="NAME", help="A paper's recipe; see presets.")]
DataFolder = Annotated[Path, typer.Argument(metavar="DATA", help="The folder that holds images/ and labels.csv.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder that train wrote.")]
Epochs = Annotated[int | None, typer.Option(help="Times through the images; else by their number.")]
Seed = Annotated[int | None, typer.Option(help="Of everything random [0].")]
Weights = Annotated[str | None, typer.Option(metavar="hub|FILE|none", help="Pretrained weights [hub].")]
RunWeights = Annotated[str | None, typer.Option(metavar="hub|FILE|none", help="Else what the run started with.")]


def emit(result: dict[str, Any], as_json: bool) -> None:
    """The result as the last line of stdout, if it was asked for as JSON."""
    if as_json:
        print(json.dumps(result))


def named(**options: object) -> dict[str, Any]:
    """The options that were given, by dotted setting."""
    return {key.replace("__", "."): value for key, value in options.items() if value is not None}


def tell_masks(summary: dict[str, Any], as_json: bool) -> None:
    """What came of a mask set; exit code 1 if images failed."""
    if not as_json:
        untagged = f"{summary['untagged']} of them without any tag, " if summary["untagged"] else ""
        print(f"{summary['masks']}: {summary['images']} masks, {untagged}{len(summary['failures'])} failures")
    for name, reason in summary["failures"].items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    emit(summary, as_json)
    if summary["failures"]:
        raise typer.Exit(1)


def print_scores(scores: dict[str, Any]) -> None:
    """Scores as a table."""
    from tag2mask.evaluation.evaluate import shown

    tables = [scores[name] for name in ("per_class", "precision_per_class", "recall_per_class")]
    rows = ([name, *(shown(table[name]) for table in tables)] for name in scores["per_class"])
    show_table(["class", "IoU", "precision", "recall"], rows)
    low, high = map(shown, scores["miou_interval_95"])
    names = ("miou", "random_miou", "pixel_accuracy", "precision", "recall", "fp", "fn")
    by_name = {name: shown(scores[name]) for name in names}
    say(
        "mIoU {miou}, precision {precision}, recall {recall} (mIoU's 95 % interval over images {low} to {high}); "
        "painting at random among the tags: {random_miou}\n"
        "pixel accuracy {pixel_accuracy}, FP {fp}, FN {fn}".format(low=low, high=high, **by_name),
        f"{scores['images']} images, {scores['images_without_truth']} without truth; "
        f"{scores['classes_averaged']} of {scores['classes']} classes averaged; tags {scores['tags']}",
    )
    if scores["miou"] is None:
        say("nothing could be scored: no pixel of the truth has a class")


def say(*lines: str) -> None:
    """Lines as they are: what looks like markup is part of a name."""
    console = Console(soft_wrap=True)
    for line in lines:
        console.print(Text(line))


def show_table(columns: Sequence[str | Column], rows: Iterable[Sequence[str]]) -> None:
    """A table whose cells are shown as they are, as narrow as it can be."""
    table = Table(*columns, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*map(Text, row))
    Console(soft_wrap=True).print(table)


def print_rounds(rounds: Sequence[Mapping[str, Any]]) -> None:
    """A line a round, if there were any."""
    columns = {"round": 0, "loss": 3, "changed": 1, "precision": 1, "val_miou": 1}
    rows = [
        ["-" if row[key] is None else f"{row[key]:.{digits}f}" for key, digits in columns.items()] for row in rounds
    ]
    if rows:
        show_table(["round", "loss", "labels changed %", "labels right %", "val mIoU"], rows)
