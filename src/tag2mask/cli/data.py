"""Verbs about data: check, prepare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tag2mask.cli.options import (
    Assignments,
    DataFolder,
    Json,
    app,
    emit,
    named,
    say,
    show_table,
)
from tag2mask.errors import SettingsError

if TYPE_CHECKING:
    from tag2mask.data.check.report import CheckReport


@app.command()
def check(
    data: DataFolder,
    source: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="In another layout: voc, coco, ...: see prepare.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Look at tables, lists and file names only; open no image.")
    ] = False,
    settings: Assignments = None,
    as_json: Json = False,
) -> None:
    """Look a data set over: counts and what is wrong.

    Exit code 1 if training could not work.
    """
    from tag2mask.data import DataSettings
    from tag2mask.data.check.folder import check as look_over
    from tag2mask.data.check.names import check_names
    from tag2mask.data.check.source import check_source
    from tag2mask.data.sources import open_source
    from tag2mask.progress import progress_bar
    from tag2mask.settings import assign

    values = assign({}, settings or [])
    if quick:
        if source is not None:
            raise SettingsError("--quick looks at the folder form only; leave out --source")
        with progress_bar("check", None) as bar:
            report = check_names(data, DataSettings.parse(values), bar.advance)
    elif source is None:
        chosen = DataSettings.parse(values)
        with progress_bar("check", None) as bar:
            report = look_over(data, chosen, bar.advance)
    else:
        opened = open_source(source, data, values)
        with progress_bar("check", len(opened.names())) as bar:
            report = check_source(opened, bar.advance)
    if not as_json:
        print_check(report)
    emit(report.to_json(), as_json)
    if report.fatal:
        raise typer.Exit(1)


def print_check(report: CheckReport) -> None:
    """Tables of what a data set holds."""
    splits = ", ".join(f"{name} {count}" for name, count in report.splits.items()) or "none"
    per_image = ", ".join(f"{count} with {tags}" for tags, count in report.tags_per_image.items())
    say(
        f"{report.photographs} images, {report.tagged} with tags; splits: {splits}",
        f"tags an image: {per_image}; truth masks: {report.masks}",
    )
    say(
        f"images with a single tag: {report.single_tag_images} of {report.tagged}; "
        f"groups of tags that always come together: {len(report.always_together)}"
    )
    rows = [
        [name, str(count), f"{100 * count / max(report.tagged, 1):.1f} %"]
        for name, count in report.images_per_class.items()
    ]
    show_table(["class", "photographs", "share"], rows)
    say(*report.lines())
    errors = sum(problem.severity == "error" for problem in report.problems)
    say(f"errors: {errors}, warnings: {len(report.problems) - errors}")


@app.command()
def prepare(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="voc, coco, ade20k, dfc2020, endotect, coco-json, labelme, imagefolder, csv, huggingface, yolo.",
        ),
    ],
    root: Annotated[Path, typer.Option(metavar="DIR", help="Where the data set lies.")],
    out: Annotated[Path, typer.Option("--out", metavar="DATA", help="A new folder.")],
    splits: Annotated[str | None, typer.Option(metavar="A,B", help="Only these lists.")] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="The first N images of each list, for a trial.")
    ] = None,
    link: Annotated[
        str | None, typer.Option(metavar="hard|symlink|copy", help="How images are taken over [hard].")
    ] = None,
    settings: Assignments = None,
    as_json: Json = False,
) -> None:
    """Write a published or own data set as a folder that train reads.

    Exit code 1 if images could not be used.
    """
    from tag2mask.data.sources.prepare import PrepareSettings
    from tag2mask.data.sources.prepare import prepare as write
    from tag2mask.settings import assign

    lists = None if splits is None else [name.strip() for name in splits.split(",")]
    plan = PrepareSettings.parse(named(splits=lists, limit=limit, link=link))
    done = write(source, root, out, assign({}, settings or []), plan)
    if not as_json:
        counts = ", ".join(f"{name} {count}" for name, count in done.splits.items()) or "none"
        print(f"{done.path}: {done.photographs} images, {done.tagged} with tags, {done.masks} masks")
        print(f"splits: {counts}")
    for name, reason in done.failures.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    emit(done.to_json(), as_json)
    if done.failures:
        raise typer.Exit(1)
