"""The figures behind the advice: settings, curves, tags, painted pixels and similarity of maps.

No truth is read for them; only the scores that the page already shows come from truth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tag2mask.data.together import Company
from tag2mask.masks.packed import labels_in
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import MaskSet
from tag2mask.refine.settings import PROBE
from tag2mask.reports.sheet import SheetRow, choose_evenly
from tag2mask.training.run import Run

MASKS_READ = 400  # most masks read, evenly spaced
LEAST_SHARE = 0.001  # fraction of an image's pixels below which a class counts as not painted

Pair = tuple[str, str]


@dataclass(frozen=True)
class Figures:
    """Figures of a run and a mask set.

    ``threshold`` is the background's, None if the masks need none. ``tagged`` counts images by tag, ``read`` those
    whose mask was read, ``painted`` those of ``read`` where the class has pixels; ``background_share`` is the
    background's fraction of all pixels read. ``likeness`` is the mean correlation of two class maps and the number of
    images with both. ``together`` are the classes that always occur together, empty if the tags are predicted.
    """

    method: str
    weights: str
    epochs: int
    lr_tokens: float
    threshold: float | str | None
    given_tags: bool
    metrics: Sequence[Mapping[str, Any]]
    scores: Mapping[str, Any] | None
    background: str | None
    images: int
    tagged: Mapping[str, int]
    read: Mapping[str, int]
    painted: Mapping[str, int]
    background_share: float | None
    likeness: Mapping[Pair, tuple[float, int]]
    together: Sequence[tuple[tuple[str, ...], int]]


def gather_figures(
    run: Run,
    masks: MaskSet,
    metrics: Sequence[Mapping[str, Any]],
    scores: Mapping[str, Any] | None,
    rows: Sequence[SheetRow],
) -> Figures:
    """Return the figures of a run and a mask set; ``scores`` are those of the page, None without truth."""
    settings = MaskSettings.parse(masks.manifest["settings"])
    image_tags: Mapping[str, Sequence[str]] = masks.manifest["image_tags"]
    given = settings.tags == "given"
    names = run.classes.names
    tagged = Counter(tag for tags in image_tags.values() for tag in tags)
    chosen = sorted(choose_evenly(masks.names(), MASKS_READ))
    read = Counter(tag for name in chosen for tag in image_tags.get(name, ()))
    painted, ground = painted_classes(masks, chosen)
    company = Company()
    for tags in image_tags.values():
        company.add(tags)
    background = settings.paint.background
    cuts = run.classes.background and background.policy == "threshold" and not settings.refine.uses(PROBE)
    return Figures(
        run.settings.method,
        run.settings.weights,
        max(run.settings.epochs, len(metrics)),  # hard tags get more
        run.settings.optimiser.lr_tokens,
        background.value if cuts else None,
        given,
        metrics,
        scores,
        run.classes.background,
        len(image_tags),
        {name: tagged[name] for name in names},
        {name: read[name] for name in names},
        {name: painted[name] for name in names},
        ground,
        mean_likeness(row.likeness for row in rows),
        company.groups(names) if given else [],
    )


def painted_classes(masks: MaskSet, names: Sequence[str]) -> tuple[Counter[str], float | None]:
    """Return the number of images where each of their tags has pixels, and the mean background fraction."""
    classes, painted, ground = masks.classes, Counter[str](), []
    for name in names:
        labels = labels_in(masks.mask(name))
        shares = np.bincount(labels.ravel(), minlength=classes.ignore + 1) / labels.size
        tags = masks.manifest["image_tags"].get(name, ())
        painted.update(tag for tag in tags if shares[classes.names.index(tag) + classes.offset] >= LEAST_SHARE)
        ground.append(shares[0])
    return painted, None if classes.background is None or not ground else float(np.mean(ground))


def mean_likeness(images: Iterable[Mapping[Pair, float]]) -> dict[Pair, tuple[float, int]]:
    """Return the mean correlation and the number of images, by pair of classes."""
    found: dict[Pair, list[float]] = {}
    for pairs in images:
        for pair, value in pairs.items():
            found.setdefault(pair, []).append(value)
    return {pair: (float(np.mean(values)), len(values)) for pair, values in found.items()}
