"""One section per class: its scores, what it is taken for, and the images where it is painted worst and best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tag2mask.data import Sample, open_dataset
from tag2mask.evaluation.confusion import Counts
from tag2mask.evaluation.evaluate import Scores
from tag2mask.masks.overlay import overlay, read_picture
from tag2mask.masks.packed import labels_in
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import MaskSet
from tag2mask.reports.mask_charts import taken_for, total
from tag2mask.reports.pictures import Cell, data_uri
from tag2mask.reports.sheet import Key, choose_evenly, class_keys
from tag2mask.training.run import Run

CLASSES = 40  # most classes with a section, those with the most images
EACH = 2  # images at the worst and at the best end
SIDE = 200  # of a picture in pixels


@dataclass(frozen=True)
class ClassSection:
    """A class, the number of images with its tag, what it is taken for, and masks over images."""

    key: Key
    images: int
    taken_for: Sequence[tuple[str, float]]
    cells: Sequence[Cell]


def class_sections(run: Run, masks: MaskSet, scores: Scores | None) -> list[ClassSection]:
    """Return the sections of all tags that occur, or of the most frequent ones, in the order of the classes."""
    tagged: dict[str, list[str]] = {name: [] for name in run.classes.names}
    for image, tags in masks.manifest["image_tags"].items():
        for tag in tags:
            tagged[tag].append(image)
    chosen = sorted((name for name in tagged if tagged[name]), key=lambda name: -len(tagged[name]))[:CLASSES]
    keys = {key.name: key for key in class_keys(run.classes)}
    confused = {} if scores is None else taken_for(run.classes, total(scores.counts))
    samples = samples_of(run, masks)

    @cache
    def picture(name: str) -> str:
        shown = read_picture(samples[name].image, run.settings.data)
        return data_uri(overlay(shown, labels_in(masks.mask(name)), run.classes), SIDE)

    return [
        ClassSection(
            keys[name],
            len(tagged[name]),
            confused.get(name, ()),
            [
                Cell(picture(image), caption)
                for image, caption in examples(tagged[name], run.classes.pixel_names.index(name), scores)
                if image in samples
            ],
        )
        for name in run.classes.names
        if name in chosen
    ]


def samples_of(run: Run, masks: MaskSet) -> Mapping[str, Sample]:
    """Return the images of a mask set by name, without those that are gone."""
    split = MaskSettings.parse(masks.manifest["settings"]).split
    present = set(masks.names())
    dataset = open_dataset(Path(masks.manifest["data"]), run.settings.data, split)
    return {sample.name: sample for sample in dataset if sample.name in present and sample.image.is_file()}


def examples(images: Sequence[str], value: int, scores: Scores | None) -> list[tuple[str, str]]:
    """Return images with captions: the worst and the best by the IoU of a pixel value, or some without truth."""
    counts: Mapping[str, Counts] = {} if scores is None else scores.counts
    found = {name: iou_of(counts[name], value) for name in images if name in counts}
    known = sorted((iou, name) for name, iou in found.items() if not np.isnan(iou))
    if not known:
        return [(name, name) for name in images if name in choose_evenly(images, 2 * EACH)]
    picked = known if len(known) <= 2 * EACH else [*known[:EACH], *known[-EACH:]]
    return [(name, f"{name}: IoU {100 * iou:.0f}") for iou, name in picked]


def iou_of(counts: Counts, value: int) -> float:
    """Return the IoU of a pixel value in one image; nan if neither truth nor mask has it."""
    union = int(counts[value].sum() + counts[:, value].sum() - counts[value, value])
    return int(counts[value, value]) / union if union else float("nan")
