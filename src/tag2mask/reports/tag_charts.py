"""How well the tags of validation images are predicted: precision and recall, and calibration. No truth is read.

Shapes: N images, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import average_precision_score, precision_recall_curve

from tag2mask.data import open_dataset
from tag2mask.data.loading import multi_hot
from tag2mask.errors import SplitMissingError
from tag2mask.masks.localize import Localizer, tensor_batches
from tag2mask.masks.resolve import resolve_masks
from tag2mask.masks.settings import MaskSettings
from tag2mask.reports.charts import Chart, curve_chart
from tag2mask.reports.sheet import choose_evenly
from tag2mask.training.run import Run

IMAGES = 200  # most images that are looked at, evenly spaced
WORST = 3  # classes with a curve of their own
BINS = 10


@dataclass(frozen=True)
class TagGuesses:
    """Logits and tags, both ``(N, C)``, of validation images."""

    logits_NC: NDArray[np.float64]
    tags_NC: NDArray[np.bool_]


def guess_tags(run: Run) -> TagGuesses | None:
    """Return the logits and tags of validation images; None if the run's data set is gone or has none with tags."""
    split = run.settings.val_split
    if split is None or run.own_data is None or not run.own_data.exists():
        return None
    try:
        tagged = [one for one in open_dataset(run.own_data, run.settings.data, split) if one.tags is not None]
    except SplitMissingError:
        return None
    chosen = choose_evenly([sample.name for sample in tagged], IMAGES)
    localizer = Localizer(run, resolve_masks(MaskSettings(split=split, tags="predicted"), run))
    logits, tags = [], []
    samples = [sample for sample in tagged if sample.name in chosen]
    for batch in tensor_batches(samples, run.settings.data, localizer.settings.look.batch_size, {}):
        for (sample, _), found in zip(batch, localizer.localize(batch), strict=True):
            logits.append(found.scores_C.double().numpy())
            tags.append(multi_hot(sample.tags or (), len(run.classes)).numpy() > 0)
    return TagGuesses(np.stack(logits), np.stack(tags)) if tags and np.any(tags) else None


def tag_charts(run: Run) -> list[Chart]:
    """Return the charts about tags; none without tagged validation images."""
    guesses = guess_tags(run)
    return [] if guesses is None else [recall_chart(guesses, run.classes.names), calibration_chart(guesses)]


def recall_chart(guesses: TagGuesses, names: tuple[str, ...]) -> Chart:
    """Return precision by recall, of all tags together and of the classes with the lowest average precision."""
    logits, tags = guesses.logits_NC, guesses.tags_NC
    present = np.flatnonzero(tags.any(0))
    scores = {int(index): average_precision_score(tags[:, index], logits[:, index]) for index in present}
    curves = {"all tags": curve_of(tags.ravel(), logits.ravel())}
    for index in sorted(scores, key=lambda index: scores[index])[:WORST]:
        curves[names[index]] = curve_of(tags[:, index], logits[:, index])
    worst = "the classes with the lowest AP" if len(scores) > WORST else "each class"
    note = f"{len(tags)} validation images; all tags together, and {worst}. Up and to the right is better."
    return curve_chart("Precision and recall of tags", ("recall", "precision"), curves, note)


def curve_of(tags: NDArray[np.bool_], logits: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return recall and precision at all thresholds."""
    precision, recall, _ = precision_recall_curve(tags, logits)
    return recall[:-1], precision[:-1]  # the last point, at recall 0, is no threshold


def calibration_chart(guesses: TagGuesses) -> Chart:
    """Return how often a tag is right, by its probability; the note has the expected calibration error."""
    shares, right = expit(guesses.logits_NC.ravel()), guesses.tags_NC.ravel()
    bins = np.minimum((shares * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    filled = counts > 0
    said = np.bincount(bins, shares, BINS)[filled] / counts[filled]
    true = np.bincount(bins, right, BINS)[filled] / counts[filled]
    error = float((counts[filled] * np.abs(said - true)).sum() / counts.sum())
    note = (
        f"On the dashed line, tags with a probability of 0.7 are right seven times out of ten; below it, the model is "
        f"too sure. Expected calibration error: {error:.3f}."
    )
    labels, curves = ("predicted probability", "share that is right"), {"": (said, true)}
    return curve_chart("Calibration of tags", labels, curves, note, diagonal=True)
