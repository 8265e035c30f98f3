"""Scores of a mask set against truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tag2mask.data import Classes, DataSettings
from tag2mask.data.folder import listed_name, read_lines
from tag2mask.data.reading import read_mask
from tag2mask.errors import DataError, MaskSetError
from tag2mask.evaluation.chance import random_counts
from tag2mask.evaluation.confusion import Counts, confusion
from tag2mask.evaluation.iou import Rates, ScoreTable, mean_known, miou_interval, score_table
from tag2mask.evaluation.tables import html_table
from tag2mask.masks.packed import labels_in
from tag2mask.masks.write import MaskSet, current_tags, open_finished, with_corrections
from tag2mask.shown import Shown, Table, counted


@dataclass(frozen=True)
class Scores:
    """A mask set's scores, in percent.

    ``random_miou`` is the expected mIoU of painting at random among each image's tags, ``interval`` the 95 % interval
    of the mIoU over images. ``table`` has the rates of all classes, as fractions, ``counts`` the pixels ``(K, K + 1)``
    of every image by true and predicted class, as ``confusion`` does. ``corrected`` counts masks that a person
    corrected.
    """

    classes: Classes
    table: ScoreTable
    interval: tuple[float | None, float | None]
    random_miou: float | None
    images: int
    images_without_truth: int
    tags: str
    counts: Mapping[str, Counts]
    corrected: int = 0

    @property
    def miou(self) -> float | None:
        """Mean IoU in percent over the classes that occur; None if none does."""
        return percent(self.table.miou)

    @property
    def pixel_accuracy(self) -> float | None:
        """Percentage of correct pixels."""
        return percent(self.table.pixel_accuracy)

    @property
    def precision(self) -> float | None:
        """Mean precision in percent."""
        return percent(mean_known(self.table.precision))

    @property
    def recall(self) -> float | None:
        """Mean recall in percent."""
        return percent(mean_known(self.table.recall))

    @property
    def per_class(self) -> dict[str, float | None]:
        """IoU in percent by class name; None for a class that does not occur."""
        return self.by_class(self.table.iou)

    def _repr_html_(self) -> str:
        """Return the means and one row per class as HTML, for notebooks."""
        table = self.table
        rates = {"IoU": table.iou, "precision": table.precision, "recall": table.recall}
        means = {name: in_percent(percent(mean_known(values))) for name, values in rates.items()}
        lines = [{"class": f"mean of {table.averaged} classes", **means}]
        for index, name in enumerate(self.classes.pixel_names):
            lines.append(
                {"class": name, **{rate: in_percent(percent(values[index])) for rate, values in rates.items()}}
            )
        return html_table(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the scores in percent, from 0 to 100; null for a class that does not occur."""
        table = self.table
        return {
            "miou": self.miou,
            "random_miou": self.random_miou,
            "miou_interval_95": list(self.interval),
            "pixel_accuracy": self.pixel_accuracy,
            "precision": self.precision,
            "recall": self.recall,
            "fp": percent(mean_known(table.fp)),
            "fn": percent(mean_known(table.fn)),
            "per_class": self.per_class,
            "precision_per_class": self.by_class(table.precision),
            "recall_per_class": self.by_class(table.recall),
            "classes_averaged": table.averaged,
            "classes": len(self.classes.pixel_names),
            "images": self.images,
            "images_without_truth": self.images_without_truth,
            "tags": self.tags,
            "corrected": self.corrected,
        }

    def shown(self) -> Shown:
        """Return the scores of classes, and their means with that of painting at random, for printing."""
        return scores_shown(self.to_json())

    def by_class(self, shares: Rates) -> dict[str, float | None]:
        """Return fractions in percent by pixel class name."""
        return {name: percent(share) for name, share in zip(self.classes.pixel_names, shares, strict=True)}


def percent(share: float) -> float | None:
    """Return a fraction in percent with two digits, or None for nan."""
    return None if math.isnan(share) else round(100 * float(share), 2)


def in_percent(score: float | None) -> str:
    """Format a score in percent; "-" if there is none."""
    return "-" if score is None else f"{score:.1f}"


def scores_shown(scores: Mapping[str, Any]) -> Shown:
    """Return a table of ``Scores`` by class, and lines with their means."""
    tables = [scores[name] for name in ("per_class", "precision_per_class", "recall_per_class")]
    rows = [[name, *(in_percent(one[name]) for one in tables)] for name in scores["per_class"]]
    low, high = map(in_percent, scores["miou_interval_95"])
    names = ("miou", "random_miou", "pixel_accuracy", "precision", "recall", "fp", "fn")
    by_name = {name: in_percent(scores[name]) for name in names}
    lines = [
        "mIoU {miou}, precision {precision}, recall {recall} (mIoU's 95 % interval over images {low} to {high}); "
        "painting at random among the tags: {random_miou}".format(low=low, high=high, **by_name),
        "pixel accuracy {pixel_accuracy}, FP {fp}, FN {fn}".format(**by_name),
        f"{scores['images']} images, {scores['images_without_truth']} without truth; "
        f"{scores['classes_averaged']} of {scores['classes']} classes averaged; tags {scores['tags']}",
    ]
    if scores["corrected"]:
        lines.append(f"{counted(scores['corrected'], 'mask')} corrected by people")
    if scores["miou"] is None:
        lines.append("no scores: no pixel of the truth has a class")
    return [Table(["class", "IoU", "precision", "recall"], rows), *lines]


def evaluate(mask_set: Path, truth: Path, split: str | None = None, corrections: Path | None = None) -> Scores:
    """Score the masks of a mask set, or those in the list ``split``, against label images of the same names.

    ``split`` is a file of names, one per line, or the name of such a list in ``splits/`` beside ``truth``. Masks in
    ``corrections`` replace the painted ones; rejected images are scored too.

    Raises:
        MaskSetError: ``mask_set`` is not a mask set, is not finished or lacks masks, or no mask has truth; or
            ``corrections`` are not such.
        DataError: truth is missing or does not fit.
    """
    opened = with_corrections(open_finished(mask_set), corrections, keep_rejected=True)
    if not truth.is_dir():
        raise DataError(f"{truth}: the folder does not exist; give the one that holds NAME.png with true labels")
    names = opened.names()
    if split is not None:
        known = set(names)
        wanted = {listed_name(line, known) for line in read_name_list(truth, split)}
        names = [name for name in names if name in wanted]
        if not names:
            raise MaskSetError(f"{mask_set}: holds no image of the split {split}; give the mask set of that split")
    return score_masks(opened, truth, names)


def score_masks(opened: MaskSet, truth: Path, names: Sequence[str]) -> Scores:
    """Score the masks of these images.

    Raises:
        MaskSetError: none of them has truth.
        DataError: truth does not fit.
    """
    with_truth = [name for name in names if (truth / f"{name}.png").is_file()]
    if not with_truth:
        raise MaskSetError(f"{opened.path}: none of its {len(names)} masks has truth of the same name in {truth}")
    per_image = np.stack([image_counts(opened, truth, name) for name in with_truth])
    tags = current_tags(opened) if "image_tags" in opened.manifest else {}
    chance = sum(
        random_counts(counts, paintable(opened.classes, tags.get(name, [])))
        for counts, name in zip(per_image, with_truth, strict=True)
    )
    low, high = miou_interval(per_image)
    return Scores(
        opened.classes,
        score_table(per_image.sum(0)),
        (percent(low), percent(high)),
        percent(score_table(np.asarray(chance)).miou),
        len(with_truth),
        len(names) - len(with_truth),
        opened.manifest.get("settings", {}).get("tags", "unknown"),
        dict(zip(with_truth, per_image, strict=True)),
        0 if opened.corrected is None else len(opened.corrected.masks.keys() & set(with_truth)),
    )


def read_name_list(truth: Path, split: str) -> list[str]:
    """Read the lines of a list that name images."""
    for path in (Path(split), truth.parent / "splits" / f"{split}.txt"):
        if path.is_file():
            return [line for line in read_lines(path) if line]
    raise DataError(f"split {split}: is not a file, and {truth.parent / 'splits' / f'{split}.txt'} does not exist")


def image_counts(opened: MaskSet, truth: Path, name: str) -> Counts:
    """Return the counts of one image."""
    path = truth / f"{name}.png"
    true, predicted = read_mask(path), labels_in(opened.mask(name))
    try:
        return confusion(true, predicted, len(opened.classes.pixel_names), opened.classes.ignore)
    except ValueError as error:
        raise DataError(
            f"{path} does not fit {opened.mask(name)}: {error}; --truth must hold label images of the images' own sizes"
        ) from None


def paintable(classes: Classes, tags: list[str]) -> list[int]:
    """Return the pixel values that an image with these tags may have."""
    return classes.values(map(classes.names.index, tags))


def own_truth(masks: MaskSet, settings: DataSettings, data: Path | None) -> Path | None:
    """Return the folder of truth in the data set of a mask set, or in ``data`` if it names none; None without truth."""
    data = masks.manifest.get("data") or data  # manifests about new images name no data
    if data is None:
        return None
    folder = Path(data) / settings.masks
    return folder if any((folder / f"{name}.png").is_file() for name in masks.names()) else None
