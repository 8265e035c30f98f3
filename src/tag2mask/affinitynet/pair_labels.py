"""Sure labels of patches from a run's class maps, and of pairs of neighbouring patches. No truth is opened.

The constants are MCTformer's. Shapes: K classes of an image, S scores (the background's first if there is one), M
patches, P pairs, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tag2mask.affinitynet.settings import WalkSettings
from tag2mask.data import Sample
from tag2mask.data.loading import load_image
from tag2mask.data.resizing import fitted_size
from tag2mask.masks.localize import Localizer
from tag2mask.masks.paint import background_score, normalise
from tag2mask.masks.settings import BackgroundSettings
from tag2mask.progress import progress_bar
from tag2mask.refine.dense_crf import crf
from tag2mask.refine.on_image import at_refine_side, colour_bands, finished_maps
from tag2mask.vit.grid import to_patches

UNSURE = -1  # label of a patch; 0 is background, c + 1 is tag c, with or without a background
KINDS = ("background", "foreground", "different")  # of pairs: both background, both the same class, different labels
VOID = len(KINDS)  # kind of a pair with an unsure patch


@dataclass(frozen=True)
class Labelled:
    """An image and the sure labels of its patches, ``(h, w)``."""

    sample: Sample
    labels_hw: Tensor


def label_patches(
    localizer: Localizer, samples: Sequence[Sample], patch: int, settings: WalkSettings
) -> list[Labelled]:
    """Compute the sure labels of every image.

    Raises:
        DataError: an image cannot be read.
    """
    labelled = []
    with progress_bar("labels", len(samples)) as bar:
        for sample in samples:
            image = load_image(sample.image, localizer.run.settings.data)
            [localized] = localizer.localize([(sample, image)])
            tags, _ = localizer.tags_of(sample, localized.scores_C)
            maps_KYX = finished_maps(localized.maps_CYX, tags, image, settings.masks.refine)
            has_background = localizer.run.classes.background is not None
            image = colour_bands(image, localizer.run.settings.data)
            labels_hw = sure_labels(maps_KYX, tags, image, patch, has_background, settings)
            labelled.append(Labelled(sample, labels_hw))
            bar.advance()
    return labelled


def sure_labels(
    maps_KYX: Tensor, tags: Sequence[int], image: Tensor, patch: int, has_background: bool, settings: WalkSettings
) -> Tensor:
    """Sure labels of patches, ``(h, w)``, from the class maps of ``tags`` after a CRF on the image's colours."""
    size = fitted_size(image.shape[1], image.shape[2], settings.side)
    if not tags:
        return torch.full([-(-side // patch) for side in size], 0 if has_background else UNSURE)
    sharpen = partial(crf, settings=settings.masks.refine.crf)

    def pooled(scores_SYX: Tensor) -> Tensor:
        return to_patches(at_refine_side(image, scores_SYX, settings.masks.refine, sharpen), size, patch)

    maps = normalise(maps_KYX.numpy())
    if not has_background:
        return trusted_labels(pooled(torch.from_numpy(maps)), tags, settings.trust)
    low, high = (
        background_score(maps, BackgroundSettings(policy="power", value=alpha))
        for alpha in (settings.low_alpha, settings.high_alpha)
    )
    low_Shw, high_Shw = (pooled(torch.from_numpy(np.concatenate([ground[None], maps]))) for ground in (low, high))
    return agreed_labels(low_Shw, high_Shw, tags)


def agreed_labels(low_Shw: Tensor, high_Shw: Tensor, tags: Sequence[int]) -> Tensor:
    """A class where it beats a strong background, background where a weak one still wins, else unsure: ``(h, w)``."""
    best_hw = low_Shw.argmax(0)
    labels_hw = torch.tensor([UNSURE, *(tag + 1 for tag in tags)])[best_hw]
    return torch.where(high_Shw.argmax(0) == 0, 0, labels_hw)


def trusted_labels(scores_Khw: Tensor, tags: Sequence[int], trust: float) -> Tensor:
    """The best class where its probability is at least ``trust``, else unsure: ``(h, w)``."""
    best_hw, place_hw = scores_Khw.max(0)
    return torch.where(best_hw >= trust, torch.tensor(tags)[place_hw] + 1, UNSURE)


def pair_kinds(labels_M: Tensor, first_P: Tensor, second_P: Tensor) -> Tensor:
    """Index into ``KINDS`` of each pair, or VOID: ``(P,)``."""
    one_P, other_P = labels_M[first_P], labels_M[second_P]
    kinds_P = torch.where(one_P != other_P, 2, torch.where(one_P == 0, 0, 1))
    return torch.where((one_P == UNSURE) | (other_P == UNSURE), VOID, kinds_P)
