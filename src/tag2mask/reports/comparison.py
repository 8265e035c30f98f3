"""A self-contained HTML page that compares several methods on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tag2mask.data import DataSettings, Sample
from tag2mask.data.reading import read_mask
from tag2mask.masks.overlay import overlay, read_picture
from tag2mask.masks.packed import labels_in
from tag2mask.masks.write import MaskSet, open_finished
from tag2mask.reports.charts import Chart, bar_chart
from tag2mask.reports.page import templates, write_page
from tag2mask.reports.pictures import Cell, data_uri
from tag2mask.reports.sheet import Key, choose_evenly, keys_in

SHOWN = 12
MIOU, AP = "mIoU", "val AP"


@dataclass(frozen=True)
class ComparedRow:
    """One image with the masks of every method."""

    cells: tuple[Cell, ...]
    keys: tuple[Key, ...]


def write_comparison(
    path: Path,
    table: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    images: Sequence[Sample],
    mask_sets: Mapping[str, Path],
    truth: Path | None,
    seed: int,
    data: DataSettings,
) -> Path:
    """Write the page; ``table`` has one row per method with formatted ``cells`` by column, ``mask_sets`` one folder."""
    sets = {method: open_finished(folder) for method, folder in mask_sets.items()}
    everywhere = set.intersection(*(set(masks.names()) for masks in sets.values()))
    chosen = choose_evenly(sorted(everywhere), SHOWN)
    rows = [compare_image(sample, sets, truth, data) for sample in images if sample.name in chosen]
    columns = len(sets) + (2 if truth else 1)
    charts = [chart for column in (MIOU, AP) if (chart := method_chart(column, table)) is not None]
    page = templates().get_template("comparison.html.j2")
    write_page(path, page.render(table=table, names=names, rows=rows, columns=columns, charts=charts, seed=seed))
    return path


def method_chart(column: str, table: Sequence[Mapping[str, Any]]) -> Chart | None:
    """Return a bar per method with the mean over seeds and its deviation; None if no method has a score."""
    bars = {line["method"]: (line[column], line[f"{column} sd"] or 0.0) for line in table if line[column] is not None}
    chance = table[0]["random_miou"] if column == MIOU else None
    mark = None if chance is None else ("painting at random", chance)
    return bar_chart(f"{column} of each method", f"{column}, mean over seeds", bars, mark) if bars else None


def compare_image(sample: Sample, sets: Mapping[str, MaskSet], truth: Path | None, data: DataSettings) -> ComparedRow:
    """Return the image, its truth if there is any, and the masks of all methods."""
    picture = read_picture(sample.image, data)
    classes = next(iter(sets.values())).classes
    labels = {method: labels_in(masks.mask(sample.name)) for method, masks in sets.items()}
    true = truth / f"{sample.name}.png" if truth else None
    if true is not None and true.is_file():
        labels = {"truth": read_mask(true), **labels}
    cells = [Cell(data_uri(picture), sample.name)]
    cells += [Cell(data_uri(overlay(picture, label, classes)), name) for name, label in labels.items()]
    return ComparedRow(tuple(cells), tuple(keys_in(classes, *labels.values())))
