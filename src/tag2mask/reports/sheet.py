"""The contact sheet: images with their masks, truth (if any) and class maps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tag2mask.data import Classes, Sample, open_dataset
from tag2mask.data.loading import load_image
from tag2mask.data.reading import read_mask
from tag2mask.masks.localize import Localized
from tag2mask.masks.overlay import overlay, read_picture
from tag2mask.masks.packed import labels_in
from tag2mask.masks.paint import normalise
from tag2mask.masks.resolve import probe_folder
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import MaskSet
from tag2mask.painting.painter import Painter
from tag2mask.refine.settings import RefineSettings
from tag2mask.reports.pictures import data_uri, heat
from tag2mask.training.run import Run

SHOWN = 12
MAPS_SHOWN = 3


@dataclass(frozen=True)
class Key:
    """A class and its CSS colour."""

    name: str
    colour: str


@dataclass(frozen=True)
class Map:
    """A class map over the image; ``score`` is the class's logit."""

    picture: str
    name: str
    score: float


@dataclass(frozen=True)
class SheetRow:
    """One image; ``truth`` may be None. ``likeness`` is the correlation of the maps of each two classes."""

    name: str
    image: str
    mask: str
    keys: tuple[Key, ...]
    truth: str | None
    maps: tuple[Map, ...]
    maps_left_out: int
    likeness: Mapping[tuple[str, str], float]


def class_keys(classes: Classes) -> list[Key]:
    """Return every pixel class with its colour, by pixel value."""
    colours = classes.palette()
    return [
        Key(name, "rgb({}, {}, {})".format(*colours[min(value, 255)])) for value, name in enumerate(classes.pixel_names)
    ]


@dataclass(frozen=True)
class Sheet:
    """The rows of images; ``lost`` is the missing folder of a refiner, in which case maps are shown unrefined."""

    rows: tuple[SheetRow, ...]
    lost: str | None = None


def contact_sheet(run: Run, masks: MaskSet, truth: Path | None) -> Sheet:
    """Return up to twelve images, evenly spaced in the mask set."""
    chosen = choose_evenly(masks.names(), SHOWN)
    settings = MaskSettings.parse(masks.manifest["settings"])
    dataset = open_dataset(Path(masks.manifest["data"]), run.settings.data, settings.split)
    refine = settings.refine
    folders = [folder for folder in (probe_folder(refine, run), refine.walk, refine.segmenter) if folder is not None]
    lost = next((str(folder) for folder in folders if not Path(folder).is_dir()), None)
    if lost is not None:
        settings = settings.model_copy(update={"refine": RefineSettings()})
    painter = Painter(run, settings)
    rows = (sheet_row(painter, masks, sample, truth) for sample in dataset if sample.name in chosen)
    return Sheet(tuple(rows), lost)


def choose_evenly(names: Sequence[str], count: int) -> set[str]:
    """Return at most ``count`` of the names, evenly spaced."""
    return {names[round(i)] for i in np.linspace(0, len(names) - 1, min(count, len(names)))}


def sheet_row(painter: Painter, masks: MaskSet, sample: Sample, truth: Path | None) -> SheetRow:
    """Return one image; its maps are the scores of its tags that competed for its pixels, highest logit first."""
    run = painter.run
    picture = read_picture(sample.image, run.settings.data)
    image = load_image(sample.image, run.settings.data)
    [found] = painter.localizer.localize([(sample, image)])
    tags = sorted(run.classes.names.index(tag) for tag in masks.manifest["image_tags"].get(sample.name, []))
    maps = dict(zip(tags, painter.scores(found, tags, image)[-len(tags) :], strict=True)) if tags else {}
    shown = sorted(tags, key=lambda tag: -float(found.scores_C[tag]))[:MAPS_SHOWN]
    labels = labels_in(masks.mask(sample.name))
    path = truth / f"{sample.name}.png" if truth else None
    true = read_mask(path) if path and path.is_file() else None
    return SheetRow(
        sample.name,
        data_uri(picture),
        data_uri(overlay(picture, labels, run.classes)),
        tuple(keys_in(run.classes, labels, true)),
        None if true is None else data_uri(overlay(picture, true, run.classes)),
        tuple(
            Map(data_uri(heat(picture, normalise(maps[tag]))), run.classes.names[tag], float(found.scores_C[tag]))
            for tag in shown
        ),
        max(len(tags) - MAPS_SHOWN, 0),
        likeness(run.classes, found, tags),
    )


def likeness(classes: Classes, found: Localized, tags: Sequence[int]) -> dict[tuple[str, str], float]:
    """Return the correlation of the maps of each two of ``tags``, without those of constant maps."""
    ordered = sorted(tags)
    maps_KN = found.maps_CYX[ordered].flatten(1).double().numpy()
    alike = {}
    for (one, first_N), (other, second_N) in itertools.combinations(zip(ordered, maps_KN, strict=True), 2):
        if first_N.std() and second_N.std():
            alike[classes.names[one], classes.names[other]] = float(np.corrcoef(first_N, second_N)[0, 1])
    return alike


def keys_in(classes: Classes, *images: NDArray[np.integer] | None) -> list[Key]:
    """Return the classes that occur in any of the label images."""
    values = sorted({int(value) for labels in images if labels is not None for value in np.unique(labels)})
    keys = class_keys(classes)
    return [keys[value] for value in values if value < len(keys)]
