"""A self-contained HTML page about a run, without network access or scripts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape

from tag2mask.environment import look_around
from tag2mask.errors import MaskSetError, RunError
from tag2mask.evaluation.evaluate import Scores, evaluate, in_percent, own_truth
from tag2mask.files import reserved, write_text
from tag2mask.masks.manifest import MANIFEST
from tag2mask.masks.write import MaskSet, open_finished
from tag2mask.reports.advice import advise
from tag2mask.reports.charts import Chart, line_chart
from tag2mask.reports.class_sections import class_sections
from tag2mask.reports.figures import gather_figures
from tag2mask.reports.mask_charts import confusion_chart, threshold_charts, total
from tag2mask.reports.sheet import choose_evenly, class_keys, contact_sheet
from tag2mask.reports.tag_charts import tag_charts
from tag2mask.settings import flat
from tag2mask.stored import read_stored
from tag2mask.training.run import WEIGHTS, Run, kept_row, open_run
from tag2mask.vit.weights import WeightsReport

EPOCHS_SHOWN = 8
LOOKED_AT = 4096  # bytes of a page searched for its title
CLASS_SCORES = {"iou": "per_class", "precision": "precision_per_class", "recall": "recall_per_class"}


def write_report(
    run: Path,
    mask_set: Path | None = None,
    truth: Path | None = None,
    out: Path | None = None,
    section: str | None = None,
) -> Path:
    """Write the page and return its path.

    ``mask_set`` defaults to the run's mask set, ``truth`` to the data set's truth if it has any. ``section`` is the
    HTML of a further section.

    Raises:
        RunError, MaskSetError, DataError: something cannot be read, or ``out`` is not a report about the run.
    """
    path = out or run / "report.html"
    require_replaceable(path, run)
    opened = open_run(run)
    masks = open_finished(mask_set or own_mask_set(run))
    if not {"run", "data", "settings", "image_tags"} <= masks.manifest.keys():
        raise MaskSetError(
            f"{masks.path} was not painted by tag2mask masks; give the masks of a segmenter with --segmented"
        )
    if masks.classes != opened.classes:
        raise MaskSetError(f"{masks.path}: its classes are not those of {run}; give masks that this run painted")
    truth = truth or own_truth(masks, opened.settings.data, opened.own_data)
    scored = evaluate(masks.path, truth) if truth else None
    scores = None if scored is None else scored.to_json()
    metrics = opened.metrics()
    sheet = contact_sheet(opened, masks, truth)
    page = (
        templates()
        .get_template("page.html.j2")
        .render(
            run=opened,
            in_percent=in_percent,
            masks=masks,
            metrics=metrics,
            training=charts(metrics),
            tag_charts=tag_charts(opened),
            mask_charts=mask_charts(opened, masks, scored, truth),
            sections=class_sections(opened, masks, scored),
            environment=flat({**look_around().to_json(), "room": {}}),  # which changes from one call to the next
            classes=class_rows(opened, metrics, scores),
            heads=head_rows(metrics),
            rows=sheet.rows,
            lost=sheet.lost,
            advice_found=advise(gather_figures(opened, masks, metrics, scores, sheet.rows)),
            scores=scores,
            settings=flat(opened.settings.model_dump(mode="json")),
            weights=asdict(read_stored(run / WEIGHTS, WeightsReport)) if (run / WEIGHTS).is_file() else {},
            manifest=flat(
                {key: value for key, value in masks.manifest.items() if key not in ("image_tags", "failures")}
            ),
            failures=masks.manifest.get("failures", {}),
            section=section,
        )
    )
    with reserved(path):
        require_replaceable(path, run)
        write_page(path, page)
    return path


def require_replaceable(path: Path, run: Path) -> None:
    """Check that ``path`` does not exist, or is a page about the same run.

    Raises:
        RunError: it is something else.
    """
    if not path.exists():
        return
    title = f"<title>{escape(run.name)}: tag2mask report</title>"
    if not path.is_file() or title.encode() not in path.read_bytes()[:LOOKED_AT]:
        raise RunError(f"{path} already exists and is not a report about {run}; choose another --out")


def write_page(path: Path, page: str) -> None:
    """Write a page; bytes in file names that are not UTF-8 are escaped."""
    write_text(path, page.encode("utf-8", "backslashreplace").decode("utf-8"))


def templates() -> Environment:
    """Return the page templates, which escape all values."""
    found = Environment(
        loader=PackageLoader("tag2mask.reports", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    found.filters["unbroken"] = unbroken
    return found


def unbroken(text: str) -> Markup:
    """Return a text whose options, such as --threshold, are not broken at their hyphens."""
    return Markup(re.sub(r"(--[a-z][\w-]*)", r'<span class="unbroken">\1</span>', str(escape(text))))


def own_mask_set(run: Path) -> Path:
    """Return the mask set below the run: that of split ``train``, or the only one."""
    found = sorted(path.parent for path in run.glob(f"*/{MANIFEST}"))
    if run / "masks-train" in found:
        return run / "masks-train"
    if not found:
        raise MaskSetError(f"{run} has no mask set yet: paint one with tag2mask masks, or name one with --masks")
    if len(found) > 1:
        raise MaskSetError(f"{run} has {len(found)} mask sets: name one with --masks ({', '.join(map(str, found))})")
    return found[0]


def charts(metrics: Sequence[dict[str, Any]]) -> list[Chart]:
    """Return charts of loss terms and validation scores over epochs."""
    if not metrics:
        return []
    epochs = [row["epoch"] for row in metrics]
    terms = {name: [row["loss"][name] for row in metrics] for name in metrics[0]["loss"]}
    found = [line_chart("Training loss", "loss", epochs, terms)]
    if all({"val_ap", "val_f1"} <= row.keys() for row in metrics):
        scores = {"mean AP": [row["val_ap"] for row in metrics], "F1": [row["val_f1"] for row in metrics]}
        found.append(line_chart("Tags of validation images", "score", epochs, scores, top=1.0))
    return found


def mask_charts(run: Run, masks: MaskSet, scores: Scores | None, truth: Path | None) -> list[Chart]:
    """Return the charts of masks against truth; none without truth."""
    if scores is None or truth is None:
        return []
    return [confusion_chart(run.classes, total(scores.counts)), *threshold_charts(run, masks, truth)]


def class_rows(run: Run, metrics: Sequence[dict[str, Any]], scores: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return name, colour, AP, IoU, precision and recall of every pixel class."""
    ap = kept_row(metrics).get("val_ap_per_class", [None] * len(run.classes))
    aps = [None] * run.classes.offset + ap
    return [
        {
            "key": key,
            "ap": aps[value],
            **{name: scores[table][key.name] if scores else None for name, table in CLASS_SCORES.items()},
        }
        for value, key in enumerate(class_keys(run.classes))
    ]


def head_rows(metrics: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the open heads by layer for some epochs, including the first and last; empty for methods without gates."""
    gated = {str(row["epoch"]): row["open_heads"] for row in metrics if row.get("open_heads") is not None}
    chosen = choose_evenly(list(gated), EPOCHS_SHOWN)
    most = max((count for row in gated.values() for count in row), default=0) or 1
    return [
        {"epoch": epoch, "cells": [(count, round(100 * count / most)) for count in row], "sum": sum(row)}
        for epoch, row in gated.items()
        if epoch in chosen
    ]
