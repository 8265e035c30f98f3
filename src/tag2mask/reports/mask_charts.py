"""Charts of masks against truth: which classes are taken for which, and the score at every background threshold.

Shapes: K pixel classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tag2mask.data import Classes, Sample, open_dataset
from tag2mask.evaluation.confusion import Counts
from tag2mask.evaluation.sweep import sweep_images
from tag2mask.masks.localize import Localizer
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import MaskSet
from tag2mask.refine.settings import PROBE, SEGMENTER, WALK
from tag2mask.reports.charts import Chart, curve_chart, heat_chart
from tag2mask.reports.sheet import choose_evenly
from tag2mask.training.run import Run

IMAGES = 60  # most images whose thresholds are tried, evenly spaced
MOST = 24  # classes in the confusion matrix
TAKEN_FOR = 3  # classes named as taken for another


def total(counts: Mapping[str, Counts]) -> Counts:
    """Return the sum over images, ``(K, K + 1)``."""
    return np.asarray(sum(counts.values()))


def shares_of(counts: Counts) -> NDArray[np.float64]:
    """Return counts as fractions of each true class; nan for a class that does not occur."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(counts / counts.sum(1, keepdims=True))


def confusion_chart(classes: Classes, counts: Counts) -> Chart:
    """Return the confusion matrix, of the classes with the most wrong pixels if there are many."""
    names = classes.pixel_names
    wrong = counts.sum(1) - np.diagonal(counts)
    shown = np.sort(np.argsort(-wrong, kind="stable")[:MOST])
    shares = shares_of(counts)
    other = np.isin(np.arange(counts.shape[1]), shown, invert=True)
    cells = np.column_stack([shares[np.ix_(shown, shown)], shares[shown][:, other].sum(1)])
    few = "" if len(shown) == len(names) else f" The {len(shown)} classes with the most wrong pixels are shown."
    note = f"Percent of each true class's pixels, by their class in the masks. The diagonal is the recall.{few}"
    rest = "no class" if len(shown) == len(names) else "others, none"
    columns = [*(names[index] for index in shown), rest]
    rows = [names[index] for index in shown]
    return heat_chart("Confusion of classes", cells, rows, columns, ("in the masks", "true"), note)


def taken_for(classes: Classes, counts: Counts) -> dict[str, list[tuple[str, float]]]:
    """Return, by class, the classes that its pixels are most often taken for, with their fractions from 1 %."""
    names = [*classes.pixel_names, "no class"]
    found = {}
    for index, row in enumerate(shares_of(counts)):
        order = [other for other in np.argsort(-row, kind="stable").tolist() if other != index and row[other] >= 0.01]
        found[names[index]] = [(names[other], float(row[other])) for other in order[:TAKEN_FOR]]
    return found


def threshold_charts(run: Run, masks: MaskSet, truth: Path) -> list[Chart]:
    """Return the mIoU at every background threshold; none if the masks were not painted by one threshold of maps."""
    settings = MaskSettings.parse(masks.manifest["settings"])
    background = settings.paint.background
    refine = settings.refine
    by_maps = not any(map(refine.uses, (PROBE, WALK, SEGMENTER))) and not settings.paint.class_thresholds
    if run.classes.background is None or background.policy != "threshold" or not by_maps:
        return []
    samples = with_truth(run, masks, truth, settings.split)
    if not samples:
        return []
    miou_T = sweep_images(Localizer(run, settings), samples).miou()
    places = np.linspace(0, 1, len(miou_T), endpoint=False)
    used = background.value if isinstance(background.value, float) else None
    note = (
        f"On {len(samples)} images of the mask set. A threshold chosen from this curve has seen truth; "
        "masks --tune-on-truth does that for a whole split, and its mask set says so."
    )
    mark = None if used is None else (f"used: {used:g}", used)
    return [curve_chart("mIoU by background threshold", ("threshold", "mIoU"), {"": (places, miou_T)}, note, mark)]


def with_truth(run: Run, masks: MaskSet, truth: Path, split: str) -> Sequence[Sample]:
    """Return some images of the mask set that have truth, with tags if the masks were painted by given tags."""
    chosen, given = choose_evenly(masks.names(), IMAGES), masks.manifest["settings"]["tags"] == "given"
    dataset = open_dataset(Path(masks.manifest["data"]), run.settings.data, split)
    found = [replace(one, truth=truth / f"{one.name}.png") for one in dataset if one.name in chosen]
    return [one for one in found if (truth / f"{one.name}.png").is_file() and (one.tags is not None or not given)]
