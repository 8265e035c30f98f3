"""A trained model in memory: images in; class maps, label images or features out.

Shapes: D width of features, K pixel classes, h w patch grid, Y X pixels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from tag2mask.artifacts.answers import ClassMaps, ShownLabels
from tag2mask.data import Classes
from tag2mask.data.in_memory import Image, pixels_of, require_names
from tag2mask.data.reading import scale_values
from tag2mask.data.remote import fetch
from tag2mask.data.tags_table import indices, tag_index
from tag2mask.errors import RunError
from tag2mask.inference.arrays import Floats
from tag2mask.masks.overlay import Picture, rgb
from tag2mask.prediction.predict import open_predictor
from tag2mask.prediction.predictor import Answer, Predictor
from tag2mask.prediction.settings import PredictSettings

T = TypeVar("T")


def load(path: str | Path, **settings: Any) -> Model:
    """Open a run, a segmenter or an ONNX file; runs and segmenters use a GPU if there is one.

    Args:
        path: Folder written by ``train`` or ``segment``, or file written by ``export``; or its URL.
        **settings: Settings of ``PredictSettings``, such as ``refine={"names": "crf"}``.

    Returns:
        The model, which answers questions about images.

    Raises:
        RunError: ``path`` is none of these, or is damaged.
        SettingsError: A setting is unknown, or does not apply to this kind of model.

    Example:
        >>> model = tag2mask.load("run")  # doctest: +SKIP
        >>> model.predict("cow.jpg", tags=["cow"])  # doctest: +SKIP
    """
    if not isinstance(path, str | os.PathLike):
        raise RunError(f"expected the path of a run, a segmenter or an ONNX file, got {type(path).__name__}")
    return Model(open_predictor(fetch(path), PredictSettings.parse(settings, where="load")))


class Model:
    """A run, a segmenter or an ONNX file that answers questions about images.

    An image is a path, a Pillow image, or an array or tensor ``(Y, X)``, ``(Y, X, bands)`` or ``(bands, Y, X)``.
    Integers span the range of their dtype; floats are from 0 to 1, unless the settings of the data clip them. A list of
    images, or an array with four axes, is a batch, for which every method returns a list.
    """

    def __init__(self, predictor: Predictor) -> None:
        """Wrap ``predictor``; use ``load`` to open a file or folder."""
        self.predictor = predictor

    def __repr__(self) -> str:
        names = ", ".join(self.classes.names[:5]) + (", ..." if len(self.classes) > 5 else "")
        return f"{type(self.predictor).__name__.removesuffix('Predictor')} of {len(self.classes)} classes ({names})"

    @property
    def classes(self) -> Classes:
        """The class names, and the background if there is one."""
        return self.predictor.classes

    @overload
    def localize(self, image: Image, tags: Sequence[str] | None = None) -> ClassMaps: ...
    @overload
    def localize(self, image: list[Image], tags: Sequence[str] | None = None) -> list[ClassMaps]: ...
    def localize(self, image: Any, tags: Sequence[str] | None = None) -> ClassMaps | list[ClassMaps]:
        """Locate classes: return the map of each class, from which masks are painted.

        Args:
            image: An image, or a batch.
            tags: Names of the classes in every image; None lets the model decide which classes there are.

        Returns:
            A dict from class name to a map ``float32 (Y, X)`` from 0 to 1. The maps of a tagged run are each stretched
            to their own range; those of a probe or a segmenter are probabilities. A list of dicts for a batch.

        Raises:
            DataError: An image cannot be read, or a tag is not a class.
        """
        return self._each(image, tags, self._maps)

    @overload
    def predict(self, image: Image, tags: Sequence[str] | None = None, proba: bool = False) -> NDArray[Any]: ...
    @overload
    def predict(
        self, image: list[Image], tags: Sequence[str] | None = None, proba: bool = False
    ) -> list[NDArray[Any]]: ...
    def predict(self, image: Any, tags: Sequence[str] | None = None, proba: bool = False) -> Any:
        """Predict the class of each pixel.

        Args:
            image: An image, or a batch.
            tags: Names of the classes in every image, the only ones to predict; None lets the model decide.
            proba: Whether to return probabilities instead of labels.

        Returns:
            The label image ``uint8 (Y, X)`` with indices into ``classes.pixel_names``, and 255 for no class (``uint16``
            and 65535 if 8 bits are too few for the classes). With ``proba``, probabilities ``float32 (K, Y, X)`` of
            all K pixel classes. A list for a batch.

        Raises:
            DataError: An image cannot be read, or a tag is not a class.
        """
        return self._each(image, tags, self._probabilities if proba else self._labels)

    @overload
    def embed(self, image: Image) -> Floats: ...
    @overload
    def embed(self, image: list[Image]) -> list[Floats]: ...
    def embed(self, image: Any) -> Floats | list[Floats]:
        """Compute the features of an image's patches, after the ViT's final norm.

        Args:
            image: An image, or a batch.

        Returns:
            Features ``float32 (h, w, D)`` on the grid of patches. A list for a batch.

        Raises:
            DataError: An image cannot be read.
            RunError: The model has no such features: it is an ONNX file, or not a ViT.
        """
        found = [self.predictor.embed(self._scaled(pixels)) for pixels in self._read(image)]
        return found if is_batch(image) else found[0]

    def _each(self, image: Any, tags: Sequence[str] | None, form: Callable[[Answer, Picture], T]) -> T | list[T]:
        """Return ``form`` of each image's answer, in a list for a batch; neighbours of one size share a batch."""
        index = indices(self.classes.names)
        known = None if tags is None else sorted({tag_index(tag, index, "tags") for tag in require_names(tags, "tags")})
        found: list[T] = []
        for alike in chunk_by_size(self._read(image), self.predictor.settings.look.batch_size):
            answers = self.predictor.answer([self._scaled(pixels) for pixels in alike], known)
            pairs = zip(answers, alike, strict=True)
            found += [form(answer, rgb(pixels, self.predictor.data_settings)) for answer, pixels in pairs]
        return found if is_batch(image) else found[0]

    def _read(self, image: Any) -> Iterator[NDArray[Any]]:
        """Yield the raw values ``(Y, X, bands)`` of every image."""
        for index, one in enumerate(image if is_batch(image) else [image]):
            yield pixels_of(one, self.predictor.data_settings, f"image {index}" if is_batch(image) else "the image")

    def _scaled(self, pixels: NDArray[Any]) -> Floats:
        """Scale raw values ``(Y, X, bands)`` to ``float32 (bands, Y, X)`` in [0, 1]."""
        return scale_values(Path("the image"), pixels, self.predictor.data_settings)

    def _maps(self, answer: Answer, picture: Picture) -> ClassMaps:
        """Return the scores of the tags, by name."""
        planes = dict(zip(answer.values, answer.scores_SYX, strict=True))
        names = {self.classes.names[tag]: planes[tag + self.classes.offset] for tag in answer.tags}
        return ClassMaps(names, picture)

    def _labels(self, answer: Answer, picture: Picture) -> ShownLabels:
        """Return the label image."""
        return ShownLabels.of(answer.labels, self.classes, picture)

    def _probabilities(self, answer: Answer, picture: Picture) -> Floats:
        """Return probabilities ``(K, Y, X)`` of all pixel classes; classes that do not compete have 0."""
        shares_KYX = np.zeros((len(self.classes.pixel_names), *answer.labels.shape), np.float32)
        shares_KYX[list(answer.values)] = answer.shares_SYX
        return shares_KYX


def is_batch(image: Any) -> bool:
    """Whether ``image`` is a batch: a list, a tuple, or an array with four axes."""
    return isinstance(image, list | tuple) or (not isinstance(image, str | Path) and getattr(image, "ndim", 0) == 4)


def chunk_by_size(images: Iterator[NDArray[Any]], batch_size: int) -> Iterator[list[NDArray[Any]]]:
    """Yield lists of consecutive images of one size, with at most ``batch_size`` images each."""
    batch: list[NDArray[Any]] = []
    for pixels in images:
        if batch and (pixels.shape != batch[0].shape or len(batch) == batch_size):
            yield batch
            batch = []
        batch.append(pixels)
    if batch:
        yield batch
