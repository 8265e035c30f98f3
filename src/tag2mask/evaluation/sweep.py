"""Search for the best background threshold on truth, in one pass over the images; the mask set's manifest records it.

Shapes: T thresholds, K pixel classes (the background first), Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tag2mask.data import Sample, open_dataset
from tag2mask.data.reading import read_mask
from tag2mask.data.sources.record import require_values
from tag2mask.errors import DataError, SettingsError
from tag2mask.evaluation.iou import mean_known
from tag2mask.masks.agreement import BINS, above, in_bins
from tag2mask.masks.localize import Localizer, tensor_batches
from tag2mask.masks.paint import normalise
from tag2mask.masks.resolve import resolve_masks, unrefined
from tag2mask.masks.settings import MaskSettings, with_paint
from tag2mask.progress import progress_bar
from tag2mask.refine.on_image import finished_maps
from tag2mask.refine.settings import PROBE
from tag2mask.training.run import open_run


class ThresholdSweep:
    """Counts by the value of the highest map, which give the mean IoU at every threshold."""

    def __init__(self, classes: int, ignore: int) -> None:
        self.ignore = ignore
        self.hit = np.zeros((BINS, classes), np.int64)  # the best class is the true one
        self.predicted = np.zeros((BINS, classes), np.int64)
        self.ground = np.zeros(BINS, np.int64)  # the truth is background
        self.true = np.zeros(classes, np.int64)

    def add(self, best_YX: NDArray[Any], class_YX: NDArray[Any], truth_YX: NDArray[Any]) -> None:
        """Add an image: the value of the highest normalised map, the pixel value of its class, and the truth."""
        valid = truth_YX != self.ignore
        bins = in_bins(best_YX[valid])
        found, true = class_YX[valid].astype(np.int64), truth_YX[valid].astype(np.int64)
        np.add.at(self.predicted, (bins, found), 1)
        np.add.at(self.hit, (bins[found == true], found[found == true]), 1)
        np.add.at(self.ground, bins[true == 0], 1)
        self.true += np.bincount(true, minlength=len(self.true))[: len(self.true)]

    def miou(self) -> NDArray[np.float64]:
        """Return the mean IoU ``(T,)`` at thresholds 0, 0.001, ..., 0.999, below which pixels are background."""
        hit_TK = above(self.hit)
        predicted_TK = above(self.predicted)
        below_T = self.predicted.sum() - predicted_TK.sum(1)
        hit_TK[:, 0] = self.ground.sum() - above(self.ground)
        predicted_TK[:, 0] = below_T
        union_TK = predicted_TK + self.true - hit_TK
        with np.errstate(divide="ignore", invalid="ignore"):
            iou_TK = np.where(union_TK > 0, hit_TK / union_TK, np.nan)
        return np.array([mean_known(iou_K) for iou_K in iou_TK])


def sweep_images(localizer: Localizer, samples: Sequence[Sample]) -> ThresholdSweep:
    """Count the pixels of images, all of which have truth, by the value of the highest map."""
    run, settings = localizer.run, localizer.settings
    sweep = ThresholdSweep(len(run.classes.pixel_names), run.classes.ignore)
    with progress_bar("thresholds", len(samples)) as bar:
        for batch in tensor_batches(samples, run.settings.data, settings.look.batch_size, {}):
            for (sample, image), localized in zip(batch, localizer.localize(batch), strict=True):
                assert sample.truth is not None
                truth = require_values(sample.truth, read_mask(sample.truth), run.classes)
                if truth.shape != image.shape[-2:]:
                    sizes = (f"{shape[1]} x {shape[0]}" for shape in (truth.shape, image.shape[-2:]))
                    raise DataError(f"{sample.truth}: is {next(sizes)} pixels, but its image is {next(sizes)}")
                tags, _ = localizer.tags_of(sample, localized.scores_C)
                # The background comes first, as a map of zeros: images without tags are background.
                maps_KYX = normalise(finished_maps(localized.maps_CYX, tags, image, settings.refine).numpy())
                maps_KYX = np.concatenate([np.zeros((1, *maps_KYX.shape[1:])), maps_KYX])
                values = np.array([0, *(tag + run.classes.offset for tag in tags)])
                sweep.add(maps_KYX.max(0), values[maps_KYX.argmax(0)], truth)
            bar.advance(len(batch))
    return sweep


@dataclass(frozen=True)
class Tuned:
    """The best threshold and its score."""

    settings: MaskSettings
    threshold: float
    miou: float

    def line(self) -> str:
        """Return the result in one line."""
        return (
            f"background threshold {self.threshold}, chosen on truth: mIoU {self.miou:.1f} on those images; "
            "recorded in the mask set's manifest"
        )


def tune_background(run: Path, data: Path | None, settings: MaskSettings, split: str) -> Tuned:
    """Find the threshold with the best mean IoU on the truth of ``split``, using given or predicted tags.

    Raises:
        SettingsError: there is nothing to tune.
        DataError: no image of the split has truth.
    """
    opened = open_run(run)
    settings = resolve_masks(unrefined(settings), opened)
    if settings.refine.uses(PROBE):
        raise SettingsError("--tune-on-truth chooses a threshold of class maps; leave out the refiner probe")
    if opened.classes.background is None or settings.paint.background.policy != "threshold":
        raise SettingsError("there is no threshold to tune: the classes have no background, or it has another policy")
    if settings.paint.class_thresholds:
        raise SettingsError("--tune-on-truth chooses one threshold for all classes: remove those of single classes")
    dataset = open_dataset(data or opened.data, opened.settings.data, split)
    samples = [sample for sample in dataset if sample.truth is not None and sample.truth.is_file()]
    if settings.tags == "given":
        samples = [sample for sample in samples if sample.tags is not None]
    if not samples:
        raise DataError(f"no image of split {split} has truth to tune on")
    miou_T = sweep_images(Localizer(opened, settings), samples).miou()
    if np.isnan(miou_T[1:]).all():
        raise DataError(f"the truth of split {split} has no pixel of any class: nothing to tune on")
    best = int(np.nanargmax(miou_T[1:])) + 1
    background = settings.paint.background.model_copy(update={"value": best / BINS, "tuned_on": split})
    chosen = with_paint(settings, background=background)
    return Tuned(chosen, best / BINS, 100 * float(miou_T[best]))
