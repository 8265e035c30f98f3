"""A model in memory: images in, class maps, label images or features out.

Shapes: D width of features, K pixel classes, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from tag2mask.artifacts.answers import ClassMaps, ShownLabels
from tag2mask.data import Classes
from tag2mask.data.in_memory import Image, pixels_of
from tag2mask.data.reading import scale_values
from tag2mask.data.tags_table import indices, tag_index
from tag2mask.inference.arrays import Floats
from tag2mask.masks.overlay import Picture, rgb
from tag2mask.prediction.predict import open_predictor
from tag2mask.prediction.predictor import Answer, Predictor
from tag2mask.prediction.settings import PredictSettings

T = TypeVar("T")


def load(path: str | Path, **settings: Any) -> Model:
    """Open a run, a segmenter or an ONNX file, on a GPU if there is one.

    ``settings`` are those of ``PredictSettings``: ``look={"flip": True}``, ``refine={"names": "crf"}``.

    Raises:
        RunError: ``path`` is none of these, or is damaged.
        SettingsError: a setting is unknown, or none of this kind's.

    Example:
        >>> model = tag2mask.load("run")  # doctest: +SKIP
        >>> model.predict("cow.jpg", tags=["cow"])  # doctest: +SKIP
    """
    return Model(open_predictor(Path(path), PredictSettings.parse(settings, where="load")))


class Model:
    """A run, a segmenter or an ONNX file.

    An image is a path, a Pillow image, an array or a tensor (``tag2mask.data.in_memory``). A list of them, or an array
    of four axes, is a batch: the answer is a list then.
    """

    def __init__(self, predictor: Predictor) -> None:
        """Answer by ``predictor``."""
        self.predictor = predictor

    @property
    def classes(self) -> Classes:
        """Names of the tags, and the background if there is one."""
        return self.predictor.classes

    @overload
    def localize(self, image: Image, tags: Sequence[str] | None = None) -> ClassMaps: ...
    @overload
    def localize(self, image: list[Image], tags: Sequence[str] | None = None) -> list[ClassMaps]: ...
    def localize(self, image: Any, tags: Sequence[str] | None = None) -> ClassMaps | list[ClassMaps]:
        """Where each of ``tags`` is: maps ``(Y, X)`` from 0 to 1 by name, as they are painted.

        A tagged run's class maps are each stretched to their own range; a probe's and a segmenter's are probabilities.
        Without ``tags`` the model decides which classes there are.

        Raises:
            DataError: an image cannot be read, or a tag is no class.
        """
        return self.each(image, tags, self.maps)

    @overload
    def predict(self, image: Image, tags: Sequence[str] | None = None, proba: bool = False) -> NDArray[Any]: ...
    @overload
    def predict(
        self, image: list[Image], tags: Sequence[str] | None = None, proba: bool = False
    ) -> list[NDArray[Any]]: ...
    def predict(self, image: Any, tags: Sequence[str] | None = None, proba: bool = False) -> Any:
        """The label image ``uint8 (Y, X)``, ``uint16`` above 254 classes: the class of each pixel, 255 is none.

        ``tags`` restrict it to the classes that are known to be there. ``proba`` gives probabilities ``float32 (K, Y,
        X)`` instead.

        Raises:
            DataError: an image cannot be read, or a tag is no class.
        """
        return self.each(image, tags, self.probabilities if proba else self.labels)

    @overload
    def embed(self, image: Image) -> Floats: ...
    @overload
    def embed(self, image: list[Image]) -> list[Floats]: ...
    def embed(self, image: Any) -> Floats | list[Floats]:
        """Features ``(h, w, D)`` of the patches of an image, after the ViT's last norm.

        Raises:
            DataError: an image cannot be read.
            RunError: the model gives none: it is an ONNX file, or no ViT.
        """
        found = [self.predictor.embed(self.scaled(pixels)) for pixels in self.read(image)]
        return found if is_batch(image) else found[0]

    def each(self, image: Any, tags: Sequence[str] | None, form: Callable[[Answer, Picture], T]) -> T | list[T]:
        """One answer or a list of them, in the form that is wanted; neighbours of one size are looked at together."""
        known = None if tags is None else sorted({tag_index(tag, indices(self.classes.names), "tags") for tag in tags})
        found: list[T] = []
        for alike in chunk_by_size(self.read(image), self.predictor.settings.look.batch_size):
            answers = self.predictor.answer([self.scaled(pixels) for pixels in alike], known)
            pairs = zip(answers, alike, strict=True)
            found += [form(answer, rgb(pixels, self.predictor.data_settings)) for answer, pixels in pairs]
        return found if is_batch(image) else found[0]

    def read(self, image: Any) -> Iterator[NDArray[Any]]:
        """Raw values ``(Y, X, bands)`` of every image."""
        for index, one in enumerate(image if is_batch(image) else [image]):
            yield pixels_of(one, self.predictor.data_settings, f"image {index}" if is_batch(image) else "the image")

    def scaled(self, pixels: NDArray[Any]) -> Floats:
        """``(bands, Y, X)`` in [0, 1]."""
        return scale_values(Path("the image"), pixels, self.predictor.data_settings)

    def maps(self, answer: Answer, picture: Picture) -> ClassMaps:
        """The scores of the tags, by name."""
        planes = dict(zip(answer.values, answer.scores_SYX, strict=True))
        names = {self.classes.names[tag]: planes[tag + self.classes.offset] for tag in answer.tags}
        return ClassMaps(names, picture)

    def labels(self, answer: Answer, picture: Picture) -> ShownLabels:
        """The label image."""
        return ShownLabels.of(answer.labels, self.classes, picture)

    def probabilities(self, answer: Answer, picture: Picture) -> Floats:
        """Shares of all pixel classes; of those that do not compete, 0."""
        shares_KYX = np.zeros((len(self.classes.pixel_names), *answer.labels.shape), np.float32)
        shares_KYX[list(answer.values)] = answer.shares_SYX
        return shares_KYX


def is_batch(image: Any) -> bool:
    """Whether there are several images."""
    return isinstance(image, list | tuple) or (not isinstance(image, str | Path) and getattr(image, "ndim", 0) == 4)


def chunk_by_size(images: Iterator[NDArray[Any]], batch_size: int) -> Iterator[list[NDArray[Any]]]:
    """Neighbours of one size together."""
    batch: list[NDArray[Any]] = []
    for pixels in images:
        if batch and (pixels.shape != batch[0].shape or len(batch) == batch_size):
            yield batch
            batch = []
        batch.append(pixels)
    if batch:
        yield batch
