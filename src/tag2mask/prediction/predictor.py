"""The interface of predictors, which produce masks of images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tag2mask.data import Classes, DataSettings
from tag2mask.data.batches import ImageBatch
from tag2mask.data.resizing import resize_bilinear
from tag2mask.inference.arrays import Floats
from tag2mask.masks.brush import Brush
from tag2mask.masks.paint import Labels, label_shares, most_probable
from tag2mask.masks.write import Painted
from tag2mask.prediction.settings import PredictSettings
from tag2mask.refine.settings import CRF, RefineSettings


@dataclass(frozen=True)
class Answer:
    """A model's answer for one image.

    ``scores (S, Y, X)`` compete for its pixels; they belong to the pixel ``values``, the background's first if it
    competes. ``shares`` are the scores as probabilities, ``labels (Y, X)`` the mask, ``tags`` class indices.
    """

    values: tuple[int, ...]
    scores_SYX: Floats
    shares_SYX: Floats
    labels: Labels
    tags: tuple[int, ...]


class Predictor(ABC):
    """A model with prediction settings; ``data`` is the data set that it was trained on, None if unknown."""

    classes: Classes
    data_settings: DataSettings
    data: Path | None
    settings: PredictSettings

    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """Return everything except the images that determines the masks, for the mask set's manifest."""

    @abstractmethod
    def paint(self, batch: ImageBatch) -> list[Painted]:
        """Return the masks of images of one size."""

    @abstractmethod
    def answer(self, images: Sequence[Floats], tags: Sequence[int] | None) -> list[Answer]:
        """Return the answers for images of one size, ``(bands, Y, X)`` in [0, 1], limited to ``tags`` if known."""

    @abstractmethod
    def embed(self, image: Floats) -> Floats:
        """Return features ``(h, w, D)`` of the patches of an image.

        Raises:
            RunError: the model has no patch features.
        """


def answer_of(brush: Brush, probable: bool, scores_SYX: Floats, scores_C: Floats, tags: Sequence[int]) -> Answer:
    """Return the answer of a tagged run; the scores of ``tags`` follow the background's if that competes.

    ``probable`` says that they are probabilities; ``scores_C`` are the logits of all classes.
    """
    values = [tag + brush.classes.offset for tag in tags]
    if len(scores_SYX) > len(values):
        values = [0, *values]
    shares_SYX = label_shares(scores_SYX, probable)
    labels = brush.without_unsure(brush.labels(scores_SYX, scores_C, tags), shares_SYX)
    return Answer(tuple(values), scores_SYX, shares_SYX, labels, tuple(tags))


def answer_of_segmenter(
    image: Floats,
    shares_KYX: Floats,
    tags: Sequence[int] | None,
    classes: Classes,
    settings: RefineSettings,
    data: DataSettings,
) -> Answer:
    """Return the answer of a segmenter with these probabilities, at the image's size and limited to ``tags`` if known.

    Renormalising a softmax over the allowed classes, e_k / sum_allowed e, gives the softmax over these classes. After
    the CRF, if it is among the refiners, classes that win nowhere have probability 0.
    """
    values = classes.values(range(len(classes)) if tags is None else tags)
    allowed_SYX = shares_KYX[values]
    if settings.uses(CRF) and values:
        won, shares_WYX = shares_after_crf(image, allowed_SYX, settings, data)
        allowed_SYX = np.zeros((len(values), *shares_WYX.shape[1:]), np.float32)
        allowed_SYX[won] = shares_WYX
    own_SYX = resize_bilinear(allowed_SYX, image.shape[1:])
    own_SYX = own_SYX / own_SYX.sum(0).clip(np.finfo(np.float32).tiny)
    labels = np.full(image.shape[1:], classes.ignore) if not values else np.asarray(values)[own_SYX.argmax(0)]
    if tags is None:
        tags = [value - classes.offset for value in np.unique(labels).tolist() if value >= classes.offset]
    return Answer(tuple(values), own_SYX, own_SYX, labels, tuple(tags))


def as_painted(labels: NDArray[np.int64], classes: Classes) -> Painted:
    """Return a label image with the classes in it, except the background, as its tags."""
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=len(classes.pixel_names))).tolist()
    return Painted(labels, [classes.names[value - classes.offset] for value in present if value >= classes.offset])


def labels_of_segmenter(image: Floats, shares_KYX: Floats, settings: RefineSettings, data: DataSettings) -> Labels:
    """The label image ``(Y, X)`` of the most probable classes, after the CRF if it is among the refiners."""
    if not settings.uses(CRF):
        return most_probable(shares_KYX, image.shape[1:])
    values_S, shares_SYX = shares_after_crf(image, shares_KYX, settings, data)
    return np.asarray(values_S[most_probable(shares_SYX, image.shape[1:])])


def shares_after_crf(
    image: Floats, shares_KYX: Floats, settings: RefineSettings, data: DataSettings
) -> tuple[NDArray[np.int64], Floats]:
    """``sharpen_winners``, which needs torch: an ONNX file may have to do without."""
    from tag2mask.refine.on_image import sharpen_winners

    return sharpen_winners(image, shares_KYX, settings, data)
