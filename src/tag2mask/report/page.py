"""One self-contained HTML page about a run: no network, no script.

Shapes: C classes, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader

from tag2mask.data import Sample, open_dataset
from tag2mask.data.reading import read_image, read_mask, to_float
from tag2mask.errors import MaskSetError
from tag2mask.evaluation.evaluate import evaluate
from tag2mask.masks.localize import localize, resize
from tag2mask.masks.paint import normalise
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import MANIFEST, MaskSet, open_mask_set
from tag2mask.methods import Method
from tag2mask.report.charts import Chart, line_chart
from tag2mask.report.pictures import data_uri, heat, overlay, rgb
from tag2mask.training.files import write_text
from tag2mask.training.run import Run, open_run

SHOWN = 12
MAPS_SHOWN = 3


@dataclass(frozen=True)
class Cell:
    """A picture and what stands below it."""

    picture: str
    caption: str


@dataclass(frozen=True)
class Row:
    """One photograph on the contact sheet; ``truth`` is None without truth."""

    name: str
    photograph: Cell
    maps: tuple[Cell, ...]
    mask: Cell
    truth: Cell | None


def write_report(run: Path, mask_set: Path | None = None, truth: Path | None = None, out: Path | None = None) -> Path:
    """Write the page and return its path. Without ``mask_set`` the run's first one is shown.

    Raises:
        RunError, MaskSetError, DataError: something cannot be read.
    """
    opened = open_run(run)
    masks = open_mask_set(mask_set or first_mask_set(run))
    scores = evaluate(masks.path, truth).to_json() if truth else None
    metrics = opened.metrics()
    environment = Environment(
        loader=PackageLoader("tag2mask.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("page.html.j2").render(
        run=opened,
        metrics=metrics,
        charts=charts(metrics),
        classes=class_rows(opened, metrics, scores),
        palette=[f"rgb({r},{g},{b})" for r, g, b in opened.classes.palette()],
        heads=metrics[-1]["open_heads"] if metrics else None,
        rows=contact_sheet(opened, masks, truth),
        scores=scores,
        settings=flat(opened.settings.model_dump(mode="json")),
        manifest={key: value for key, value in masks.manifest.items() if key not in ("image_tags", "settings")}
        | flat(masks.manifest["settings"]),
    )
    path = out or run / "report.html"
    write_text(path, page)
    return path


def first_mask_set(run: Path) -> Path:
    """The mask set that ``masks`` wrote below the run."""
    found = sorted(path.parent for path in run.glob(f"*/{MANIFEST}"))
    if not found:
        raise MaskSetError(f"{run} has no mask set yet: make one with tag2mask masks, or name one with --masks")
    return found[0]


def charts(metrics: Sequence[dict[str, Any]]) -> list[Chart]:
    """Loss terms and validation scores over epochs."""
    if not metrics:
        return []
    epochs = [row["epoch"] for row in metrics]
    terms = {name: [row["loss"][name] for row in metrics] for name in metrics[0]["loss"]}
    found = [line_chart("Training loss", "loss", epochs, terms)]
    if "val_ap" in metrics[0]:
        scores = {"mean AP": [row["val_ap"] for row in metrics], "F1": [row["val_f1"] for row in metrics]}
        found.append(line_chart("Tags of validation photographs", "score", epochs, scores))
    return found


def class_rows(run: Run, metrics: Sequence[dict[str, Any]], scores: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Name, colour value, AP and IoU of every pixel class."""
    best = max(metrics, key=lambda row: row.get("val_ap") or 0.0, default=None)
    ap = (best or {}).get("val_ap_per_class", [None] * len(run.classes))
    aps = [None] * run.classes.offset + ap
    return [
        {"name": name, "value": value, "ap": aps[value], "iou": scores["per_class"][name] if scores else None}
        for value, name in enumerate(run.classes.pixel_names)
    ]


def contact_sheet(run: Run, masks: MaskSet, truth: Path | None) -> list[Row]:
    """Up to twelve photographs, spread evenly over the mask set."""
    names = masks.names()
    chosen = {names[round(i)] for i in np.linspace(0, len(names) - 1, min(SHOWN, len(names)))} if names else set()
    settings = MaskSettings.parse(masks.manifest["settings"])
    dataset = open_dataset(Path(masks.manifest["data"]), run.settings.data, settings.split)
    method = run.load_method()
    return [sheet_row(run, method, masks, sample, truth, settings) for sample in dataset if sample.name in chosen]


def sheet_row(
    run: Run, method: Method, masks: MaskSet, sample: Sample, truth: Path | None, settings: MaskSettings
) -> Row:
    """One photograph: its class maps for the tags in use, its mask, its truth."""
    pixels = read_image(sample.image, run.settings.data.bands)
    picture = rgb(pixels)
    side = settings.side or run.settings.backbone.image_size
    [found] = localize(method, [to_float(pixels)], side, run.mean, run.std, settings)
    tags = masks.manifest["image_tags"].get(sample.name, [])
    indices = [run.classes.names.index(tag) for tag in tags]
    indices.sort(key=lambda index: -float(found.scores_C[index]))
    maps = normalise(resize(found.maps_CYX[None], picture.shape[:2])[0].numpy())
    path = truth / f"{sample.name}.png" if truth else None
    return Row(
        sample.name,
        Cell(data_uri(picture), ", ".join(tags) or "no tags"),
        tuple(
            Cell(data_uri(heat(picture, maps[i])), f"{run.classes.names[i]} ({float(found.scores_C[i]):+.1f})")
            for i in indices[:MAPS_SHOWN]
        ),
        Cell(data_uri(overlay(picture, read_mask(masks.mask(sample.name)), run.classes)), "pseudo-mask"),
        Cell(data_uri(overlay(picture, read_mask(path), run.classes)), "truth") if path and path.is_file() else None,
    )


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found
