"""The verb for the impatient: run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tag2mask.cli.options import (
    DataFolder,
    Json,
    Seed,
    Weights,
    app,
    emit,
    say,
    show_table,
)


@app.command()
def run(
    data: DataFolder,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A folder for all of it; called again it goes on.")],
    quick: Annotated[bool, typer.Option("--quick", help="A first look in about ten minutes on two cores.")] = False,
    method: Annotated[str | None, typer.Option(help="As in train [attended].")] = None,
    backbone: Annotated[str | None, typer.Option(help="Any plain timm ViT [vit_small_patch14_dinov2].")] = None,
    weights: Weights = None,
    seed: Seed = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="STAGE.KEY=VALUE", help="Any setting of train, probe, masks, segment, predict."),
    ] = None,
    as_json: Json = False,
) -> None:
    """All of it: check, train, probe, masks, segment, predict, evaluate, report."""
    from tag2mask.workflows.plan import Plan, read_whole_settings
    from tag2mask.workflows.run import run_whole

    chosen = read_whole_settings(method, backbone, weights, seed, settings or [])
    result = run_whole(Plan(data, out, chosen, quick)).to_json()
    if not as_json:
        print_whole(result)
    for name, why in result["failures"].items():
        print(f"failed: {name}: {why}", file=sys.stderr)
    emit(result, as_json)
    if result["failures"]:
        raise typer.Exit(1)


def print_whole(result: dict[str, Any]) -> None:
    """What is where, and scores beside chance."""
    from tag2mask.evaluation.evaluate import shown

    lines = [
        f"{result['run']}: learned from tags; its mask sets are masks-*",
        f"{result['segmenter']}: learned from them; tag2mask predict {result['segmenter']} PHOTOGRAPHS --out MASKS",
        *(f"{path}: without tags, by the segmenter" for path in result["predicted"].values()),
        f"{result['report']}: all of it to look at",
    ]
    say(*lines)
    if not result["scores"]:
        say("nothing could be scored: the data set has no true masks of these images")
        return
    table: list[list[str]] = []
    for row in result["scores"]:
        low, high = map(shown, row["miou_interval_95"])
        numbers = [shown(row.get(key)) for key in ("miou", "precision", "recall")]
        cells = [row["mask_set"], str(row["images"]), row["tags"], *numbers, f"{low}-{high}", shown(row["random_miou"])]
        table.append(cells)
    show_table(["mask set", "images", "tags", "mIoU", "precision", "recall", "95 %", "random"], table)
    say("95 %: the interval of mIoU over images; random: mIoU of painting at random")
