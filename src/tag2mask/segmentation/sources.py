"""The images and labels that a segmenter learns from, and the use of truth.

Truth is opened only on request and in two cases: to score the precision of the labels, and as labels for a fully
supervised reference. The segmenter's ``config.yaml`` states which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tag2mask.data import Classes, open_dataset
from tag2mask.errors import DataError, MaskSetError, SettingsError
from tag2mask.masks.packed import InMemory
from tag2mask.masks.write import MaskSet, open_finished, with_corrections
from tag2mask.segmentation.crops import LabelledImage
from tag2mask.segmentation.settings import Target
from tag2mask.shown import counted
from tag2mask.training.run import Run

SUPERVISED = "training: all labels are truth"
SCORING = "scoring: the precision of the labels, epoch by epoch"


@dataclass(frozen=True)
class LabelSource:
    """Labelled images, and the origin of their labels for ``config.yaml``."""

    images: tuple[LabelledImage, ...]
    origin: dict[str, Any]


def open_labels(
    run: Run,
    masks: Path | None,
    truth: Path | None,
    fully_supervised: bool,
    split: str,
    target: Target = "hard",
    corrections: Path | None = None,
) -> LabelSource:
    """Open the images of the mask set ``masks``, with its masks or the truth as labels.

    A ``soft`` target adds the mask set's scores. Masks in ``corrections`` replace the painted ones; rejected images
    are left out.

    Raises:
        SettingsError: the options contradict each other.
        MaskSetError: ``masks`` is not a mask set, is unfinished or empty, has other classes, or lacks scores.
        DataError: an image is missing, or there is no truth.
    """
    opened = None if masks is None else with_corrections(of_same_classes(masks, run.classes), corrections)
    if corrections is not None and (opened is None or fully_supervised):
        raise SettingsError(
            "--corrections are those of a mask set: name it with --masks, and leave out --fully-supervised"
        )
    images = images_of(run, opened, split)
    true = {} if truth is None else true_labels(truth, images)
    if fully_supervised:
        if truth is None:
            raise SettingsError("--fully-supervised learns from truth: name its folder with --truth DIR")
        if target == "soft":
            raise SettingsError(
                "--target soft learns a mask set's scores, but --fully-supervised learns truth: leave one of them out"
            )
        supervised = (LabelledImage(name, images[name], path) for name, path in true.items())
        return LabelSource(tuple(supervised), from_truth(opened, truth))
    if opened is None:
        raise SettingsError("--masks MASKSET is missing: a segmenter learns from the masks that tag2mask masks painted")
    scores = opened.scores(images) if target == "soft" else {}
    labelled = (
        LabelledImage(name, image, opened.mask(name), true.get(name), scores.get(name), touched_in(opened, name))
        for name, image in images.items()
    )
    return LabelSource(tuple(labelled), from_masks(opened, truth, target))


def touched_in(masks: MaskSet, name: str) -> InMemory | None:
    """Return the touched pixels of an image whose mask was corrected."""
    return None if masks.corrected is None else masks.corrected.touched.get(name)


def of_same_classes(path: Path, classes: Classes) -> MaskSet:
    """Open a finished mask set with the run's classes."""
    masks = open_finished(path)
    if masks.classes != classes:
        raise MaskSetError(
            f"{path} has other classes than the run: {shorten(masks.classes)} instead of {shorten(classes)}"
        )
    return masks


def shorten(classes: Classes) -> str:
    """List some of the names for a message."""
    names = classes.pixel_names
    return ", ".join(names[:4]) + (f", ... ({len(names)})" if len(names) > 4 else "")


def images_of(run: Run, masks: MaskSet | None, split: str) -> dict[str, Path]:
    """Images by name: those of the mask set, or those of the split if there is none."""
    dataset = open_dataset(run.data, run.settings.data, split if masks is None else None)
    found = {sample.name: sample.image for sample in dataset}
    if masks is None:
        return found
    for name in masks.names():
        if name not in found or not found[name].is_file():
            raise DataError(f"{masks.mask(name)}: its image {name} is missing from {run.data}")
    return {name: found[name] for name in masks.names()}


def true_labels(truth: Path, names: Iterable[str]) -> dict[str, Path]:
    """Find the true label images of those images that have one.

    Raises:
        DataError: no image has one.
    """
    if not truth.is_dir():
        raise DataError(f"{truth}: there is no such folder; give the folder with true labels as NAME.png")
    paths = {name: truth / f"{name}.png" for name in names}
    found = {name: path for name, path in paths.items() if path.is_file()}
    if not found:
        raise DataError(f"{truth}: holds no truth for any of the {len(paths)} images")
    return found


def from_masks(masks: MaskSet, truth: Path | None, target: Target) -> dict[str, Any]:
    """Describe the origin of pseudo-masks, including how truth influenced them."""
    used = [masks.manifest.get("truth_used", "unknown")]
    if truth is not None and SCORING not in used[0]:  # already listed if the model that painted them was scored, too
        used.append(SCORING)
    learned = "scores of mask set" if target == "soft" else "mask set"
    corrected = None if masks.corrected is None else masks.corrected.origin(masks.names() + list(masks.left_out))
    by_people = "" if corrected is None else say_corrected(corrected)
    labels_used = f"{learned} {masks.path.resolve().name}, {masks.manifest.get('labels_used', 'unknown')}{by_people}"
    return {
        "labels_used": labels_used,
        "truth_used": "; ".join(text for text in used if text != "none") or "none",
        "masks": describe_mask_set(masks),
        "corrections": corrected,
        "truth": None if truth is None else str(truth.resolve()),
    }


def say_corrected(corrected: Mapping[str, Any]) -> str:
    """Say how people changed a mask set."""
    rejected = f", {counted(corrected['rejected'], 'rejected image')} left out" if corrected["rejected"] else ""
    return f"; {counted(corrected['corrected'], 'mask')} corrected by people{rejected}"


def from_truth(masks: MaskSet | None, truth: Path) -> dict[str, Any]:
    """Describe the origin of the labels of a fully supervised reference."""
    return {
        "labels_used": "truth, fully supervised",
        "truth_used": SUPERVISED,
        "masks": None if masks is None else describe_mask_set(masks),
        "truth": str(truth.resolve()),
    }


def describe_mask_set(masks: MaskSet) -> dict[str, str]:
    """Identify a mask set by its path and the hash of its manifest."""
    return {"path": str(masks.path.resolve()), "manifest_sha256": masks.manifest_hash()}
