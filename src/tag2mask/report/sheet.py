"""The contact sheet: photographs, their masks, their truth if there is one, their class maps."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tag2mask.data import Classes, Sample, open_dataset
from tag2mask.data.loading import load_image
from tag2mask.data.reading import read_mask
from tag2mask.masks.localize import Localized, localize
from tag2mask.masks.overlay import Picture, overlay, read_picture
from tag2mask.masks.paint import normalise
from tag2mask.masks.painter import finished_maps
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import MaskSet
from tag2mask.methods import Method
from tag2mask.report.pictures import data_uri, heat
from tag2mask.training.run import Run

SHOWN = 12
MAPS_SHOWN = 3


@dataclass(frozen=True)
class Key:
    """A class and its colour, as CSS."""

    name: str
    colour: str


@dataclass(frozen=True)
class Map:
    """A class map over the photograph; ``score`` is the class's logit."""

    picture: str
    name: str
    score: float


@dataclass(frozen=True)
class Row:
    """One photograph; ``truth`` is None without truth. ``likeness`` is the correlation of the maps of two classes."""

    name: str
    photograph: str
    mask: str
    keys: tuple[Key, ...]
    truth: str | None
    maps: tuple[Map, ...]
    maps_left_out: int
    likeness: Mapping[tuple[str, str], float]


def class_keys(classes: Classes) -> list[Key]:
    """Every pixel class with its colour, by pixel value."""
    colours = classes.palette()
    return [
        Key(name, "rgb({}, {}, {})".format(*colours[min(value, 255)])) for value, name in enumerate(classes.pixel_names)
    ]


def contact_sheet(run: Run, masks: MaskSet, truth: Path | None) -> list[Row]:
    """Up to twelve photographs, spread evenly over the mask set."""
    chosen = spread(masks.names(), SHOWN)
    settings = MaskSettings.parse(masks.manifest["settings"])
    dataset = open_dataset(Path(masks.manifest["data"]), run.settings.data, settings.split)
    method = run.load_method(changes=settings.method)
    return [sheet_row(run, method, masks, sample, truth, settings) for sample in dataset if sample.name in chosen]


def spread(names: Sequence[str], count: int) -> set[str]:
    """At most ``count`` of the names, at even distances."""
    return {names[round(i)] for i in np.linspace(0, len(names) - 1, min(count, len(names)))}


def sheet_row(
    run: Run, method: Method, masks: MaskSet, sample: Sample, truth: Path | None, settings: MaskSettings
) -> Row:
    """One photograph; its class maps are those of the tags in use, the highest logit first."""
    picture = read_picture(sample.image, run.settings.data)
    side = settings.side or run.settings.backbone.image_size
    image = load_image(sample.image, run.settings.data)
    [found] = localize(method, [image], side, run.mean, run.std, settings)
    tags = [run.classes.names.index(tag) for tag in masks.manifest["image_tags"].get(sample.name, [])]
    tags.sort(key=lambda tag: -float(found.scores_C[tag]))
    shown = tags[:MAPS_SHOWN]
    labels = read_mask(masks.mask(sample.name))
    path = truth / f"{sample.name}.png" if truth else None
    true = read_mask(path) if path and path.is_file() else None
    return Row(
        sample.name,
        data_uri(picture),
        data_uri(overlay(picture, labels, run.classes)),
        tuple(keys_in(run.classes, labels, true)),
        None if true is None else data_uri(overlay(picture, true, run.classes)),
        tuple(shown_maps(run.classes, picture, found, finished_maps(found, shown, image, settings), shown)),
        max(len(tags) - MAPS_SHOWN, 0),
        likeness(run.classes, found, tags),
    )


def likeness(classes: Classes, found: Localized, tags: Sequence[int]) -> dict[tuple[str, str], float]:
    """How alike the maps of each two of ``tags`` are, from -1 to 1; a map without any difference is like none."""
    ordered = sorted(tags)
    maps_KN = found.maps_CYX[ordered].flatten(1).double().numpy()
    alike = {}
    for (one, first_N), (other, second_N) in itertools.combinations(zip(ordered, maps_KN, strict=True), 2):
        if first_N.std() and second_N.std():
            alike[classes.names[one], classes.names[other]] = float(np.corrcoef(first_N, second_N)[0, 1])
    return alike


def keys_in(classes: Classes, *images: NDArray[np.integer] | None) -> list[Key]:
    """The classes that occur in any of the label images."""
    values = sorted({int(value) for labels in images if labels is not None for value in np.unique(labels)})
    keys = class_keys(classes)
    return [keys[value] for value in values if value < len(keys)]


def shown_maps(
    classes: Classes, picture: Picture, found: Localized, maps_KYX: Tensor, tags: Sequence[int]
) -> list[Map]:
    """The class maps of ``tags``, each stretched to its own range, over the photograph."""
    return [
        Map(data_uri(heat(picture, normalise(map_YX))), classes.names[tag], float(found.scores_C[tag]))
        for tag, map_YX in zip(tags, maps_KYX.numpy(), strict=True)
    ]
