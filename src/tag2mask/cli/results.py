"""Verbs about what came of it: evaluate, report, convert, export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tag2mask.cli.options import (
    Json,
    RunFolder,
    app,
    emit,
    print_scores,
)
from tag2mask.errors import SettingsError


class ModelFormat(StrEnum):
    """What export writes."""

    ONNX = "onnx"


@app.command()
def evaluate(
    mask_set: Annotated[Path, typer.Argument(metavar="MASKSET", help="The folder that masks wrote.")],
    truth: Annotated[Path, typer.Option(metavar="DIR", help="NAME.png with true labels.")],
    split: Annotated[str | None, typer.Option(help="A list of names: a file, or NAME for splits/NAME.txt.")] = None,
    as_json: Json = False,
) -> None:
    """Score a mask set against truth, beside painting at random."""
    from tag2mask.evaluation.evaluate import evaluate as score

    scores = score(mask_set, truth, split).to_json()
    if not as_json:
        print_scores(scores)
    emit(scores, as_json)


@app.command()
def convert(
    mask_set: Annotated[Path, typer.Argument(metavar="MASKSET", help="The folder that masks wrote.")],
    to: Annotated[str, typer.Option(metavar="coco|yolo|cvat|voc|png|geotiff|npz", help="The format.")],
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="A new folder; coco FILE.json, cvat FILE.zip.")],
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The images, if not where they were (coco, geotiff).")
    ] = None,
    suffix: Annotated[str | None, typer.Option(metavar=".jpg", help="Of images that are gone (coco).")] = None,
    as_json: Json = False,
) -> None:
    """Write a mask set in another tool's format."""
    from tag2mask.exporters import convert as write_as

    conversion = write_as(mask_set, to, out, images, suffix)
    if not as_json:
        print(conversion.line())
    emit(conversion.to_json(), as_json)


@app.command()
def report(
    run: RunFolder,
    mask_set: Annotated[
        Path | None, typer.Option("--masks", metavar="MASKSET", help="[RUN/masks-train, or its only one]")
    ] = None,
    truth: Annotated[Path | None, typer.Option(metavar="DIR", help="True labels [the data set's, if any].")] = None,
    segmented: Annotated[
        Path | None, typer.Option(metavar="MASKSET", help="What a segmenter predicted, without tags: a section more.")
    ] = None,
    full: Annotated[
        Path | None, typer.Option(metavar="MASKSET", help="What the fully supervised one did: weak / full in percent.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The page [RUN/report.html].")] = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page: pictures, curves, tables."""
    from tag2mask.reports.page import write_report
    from tag2mask.reports.segmenter import segmenter_section

    if segmented is None and full is not None:
        raise SettingsError(f"--full {full} is what a segmenter is compared with: name its masks with --segmented")
    section = None if segmented is None else segmenter_section(run, segmented, full, mask_set, truth)
    path = write_report(run, mask_set, truth, out, section.html if section else None)
    if not as_json:
        if section is not None:
            print(section.line())
        print(path)
    emit({"report": str(path)} | ({} if section is None else {"segmenter": section.to_json()}), as_json)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN|RUN2", help="The folder that train or segment wrote.")],
    form: Annotated[ModelFormat, typer.Option("--format", help="The format.")] = ModelFormat.ONNX,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The file [RUN/model.onnx].")] = None,
    as_json: Json = False,
) -> None:
    """Write a run or a segmenter as ONNX, and compare it with torch."""
    from tag2mask.exporters.onnx import export_onnx

    summary = export_onnx(run, out or run / "model.onnx")
    if not as_json:
        print(f"{summary.path}: differs from torch by {summary.largest_difference:.1e} at most")
    emit(summary.to_json(), as_json)
