"""Choice of a background threshold without truth: the one at which two views of the same images agree best.

Shapes: T thresholds, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tag2mask.data import Sample
from tag2mask.errors import DataError
from tag2mask.masks.localize import Localized, Localizer, tensor_batches
from tag2mask.masks.paint import normalise
from tag2mask.masks.settings import MaskSettings, with_paint
from tag2mask.progress import progress_bar
from tag2mask.refine.on_image import finished_maps
from tag2mask.training.run import Run

BINS = 1000
EPS = 1e-9
IMAGES = 200  # at most this many images, evenly spaced, are used
SMALLER = 0.75  # relative scale of the second view


def choose_by_agreement(run: Run, samples: Sequence[Sample], settings: MaskSettings) -> MaskSettings:
    """Set the background threshold to the one at which images and their smaller, mirrored views agree best.

    Raises:
        DataError: no image has a tag.
    """
    scales = tuple(SMALLER * scale for scale in settings.look.scales)
    smaller = settings.model_copy(update={"look": settings.look.model_copy(update={"scales": scales})})
    localizer, other = Localizer(run, settings), Localizer(run, smaller)
    some = samples[:: -(-len(samples) // IMAGES)]
    agreement = Agreement()
    with progress_bar("agree", len(some)) as bar:
        for batch in tensor_batches(some, run.settings.data, settings.look.batch_size, {}):
            mirrored = [(sample, image.flip(-1)) for sample, image in batch]
            views = zip(mirrored, localizer.localize(batch), other.localize(mirrored), batch, strict=True)
            for (sample, mirror), first, second, (_, image) in views:
                tags, _ = localizer.tags_of(sample, first.scores_C)
                if tags:
                    seen_YX = best_height(second, tags, mirror, smaller)[:, ::-1]
                    agreement.add(best_height(first, tags, image, settings), seen_YX)
            bar.advance(len(batch))
    if not agreement.first.any():
        raise DataError("no image has a tag, so there are no class maps to compare; set --threshold to a number")
    kappa = float(agreement.kappa().max())
    found = {"value": agreement.best(), "agreement": round(kappa, 4)}
    return with_paint(settings, background=settings.paint.background.model_copy(update=found))


def best_height(localized: Localized, tags: Sequence[int], image: Tensor, settings: MaskSettings) -> NDArray[Any]:
    """The maximum over the normalised maps at each pixel, ``(Y, X)``."""
    return np.asarray(normalise(finished_maps(localized.maps_CYX, tags, image, settings.refine).numpy()).max(0))


class Agreement:
    """Histograms of the best map's height in two views, from which their agreement at any threshold follows."""

    def __init__(self) -> None:
        self.first = np.zeros(BINS, np.int64)
        self.second = np.zeros(BINS, np.int64)
        self.lower = np.zeros(BINS, np.int64)  # the lower of both heights: above it, both views see a class

    def add(self, first_YX: NDArray[Any], second_YX: NDArray[Any]) -> None:
        """Add an image, given the height of the best normalised map in both views."""
        for counts, height_YX in (
            (self.first, first_YX),
            (self.second, second_YX),
            (self.lower, np.minimum(first_YX, second_YX)),
        ):
            counts += np.bincount(in_bins(height_YX).ravel(), minlength=BINS)

    def kappa(self) -> NDArray[np.float64]:
        """Cohen's kappa ``(T,)`` of class against background at thresholds 0, 0.001, ..., 0.999.

        (p_o - p_e) / (1 - p_e): the observed agreement p_o, corrected by the agreement p_e expected by chance. It is 0
        if either view is all class or all background, so neither end of the scale can win.
        """
        pixels = max(self.first.sum(), 1)
        first_T, second_T, both_T = (above(counts) / pixels for counts in (self.first, self.second, self.lower))
        observed_T = both_T + 1 - (first_T + second_T - both_T)
        expected_T = first_T * second_T + (1 - first_T) * (1 - second_T)
        return np.asarray((observed_T - expected_T) / np.maximum(1 - expected_T, EPS))

    def best(self) -> float:
        """The threshold, above 0, with the highest kappa."""
        return (int(self.kappa()[1:].argmax()) + 1) / BINS


def in_bins(height_YX: NDArray[Any]) -> NDArray[np.int64]:
    """Bin heights between 0 and 1."""
    return np.minimum((height_YX * BINS).astype(np.int64), BINS - 1)


def above(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum each bin and all bins above it."""
    return np.asarray(counts[::-1].cumsum(0)[::-1].copy())
