"""An ONNX file as a predictor, by onnxruntime: no torch.

Shapes: B batch, C classes, h w patch grid, Y X pixels.
"""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tag2mask._version import __version__
from tag2mask.data.batches import ImageBatch
from tag2mask.data.resizing import resize_bilinear
from tag2mask.errors import RunError, SettingsError
from tag2mask.inference.arrays import Arrays, Floats, NumpyArrays
from tag2mask.inference.look import Seen, Window, finest_grid, mean_probabilities, sum_maps
from tag2mask.inference.networks import TILE_OVERLAP, PixelNetwork
from tag2mask.masks.brush import Brush
from tag2mask.masks.paint import Maps, label_shares
from tag2mask.masks.settings import SHARE_EPS
from tag2mask.masks.write import Painted
from tag2mask.prediction.new_paint import resolve_new_paint
from tag2mask.prediction.onnx_file import OnnxModel
from tag2mask.prediction.predictor import (
    Answer,
    Predictor,
    answer_of,
    answer_of_segmenter,
    as_painted,
    labels_of_segmenter,
)
from tag2mask.prediction.settings import PredictSettings
from tag2mask.refine.settings import CRF, GUIDED, PAMR, RefineSettings
from tag2mask.segmentation.kinds import RUN, SEGMENTER


class OnnxPredictor(Predictor):
    """One file and one way of looking."""

    data = None

    def __init__(self, path: Path, model: OnnxModel, settings: PredictSettings) -> None:
        """Take the model.

        Raises:
            SettingsError: a setting is only for folders.
        """
        self.path = path
        self.model = model
        self.card = model.card
        self.settings = settings
        self.classes = model.card.classes
        self.data_settings = model.card.data_settings
        self.require_usable()

    @abstractmethod
    def require_usable(self) -> None:
        """The settings are some that the file can follow.

        Raises:
            SettingsError: one is not.
        """

    def origin(self) -> dict[str, Any]:
        """The file, and what it was made of."""
        import onnxruntime

        return {
            "tool": f"tag2mask {__version__}",
            "onnxruntime": onnxruntime.__version__,
            self.card.kind: self.card.name,
            "onnx": self.path.name,
            "checkpoint_sha256": self.card.checkpoint_sha256,
            "settings": {**self.settings.model_dump(mode="json"), "tags": "predicted"},
            "labels_used": self.card.labels_used,
            "truth_used": self.card.truth_used,
        }

    def embed(self, image: Floats) -> Floats:
        """An ONNX file gives none."""
        raise RunError(f"{self.path} gives no features of patches; the folder that it was made of does")


class OnnxSegmenter(OnnxPredictor):
    """A segmenter's file: the same windows, scales and flips, and the same CRF."""

    def require_usable(self) -> None:
        """It has no class maps to paint; the CRF is in torch."""
        self.settings.require_unset(["paint", "method"], f"it is for tagged runs, and {self.path} is a segmenter")
        require_onnx_refiners(self.settings.refine, (CRF,), self.path)

    def paint(self, batch: ImageBatch) -> list[Painted]:
        """The most probable class everywhere, after the CRF if it is asked for."""
        images = [image for _, image in batch]
        refine = self.settings.refine
        shares_BKYX = self.probabilities(images)
        return [
            as_painted(labels_of_segmenter(*pair, refine, self.data_settings), self.classes)
            for pair in zip(images, shares_BKYX, strict=True)
        ]

    def answer(self, images: Sequence[Floats], tags: Sequence[int] | None) -> list[Answer]:
        """Probabilities, those of ``tags`` alone if they are known."""
        pairs = zip(images, self.probabilities(images), strict=True)
        return [
            answer_of_segmenter(*pair, tags, self.classes, self.settings.refine, self.data_settings) for pair in pairs
        ]

    def probabilities(self, images: Sequence[Floats]) -> Floats:
        """Of every class, ``(B, K, Y, X)`` at the size that the network sees."""
        card = self.card
        network = PixelNetwork(lambda seen: self.model(seen)[0], card.side, card.crop, card.patch)
        return mean_probabilities(network, images, self.settings.look)


class RunNetwork:
    """A tagged run's file as a network: class maps on patches, as shares of all classes' maps if ``relative``."""

    arrays: Arrays[Floats] = NumpyArrays()
    window = Window(None, TILE_OVERLAP, faded=True)

    def __init__(self, model: OnnxModel, relative: bool) -> None:
        self.model = model
        self.side = model.card.side
        self.patch = self.cell = model.card.patch
        self.relative = relative

    def __call__(self, images: Floats) -> Seen[Floats]:
        """Maps and logits."""
        scores_BC, maps_BChw = self.model(images)
        if self.relative:
            maps_BChw = maps_BChw / (maps_BChw.sum(1, keepdims=True) + SHARE_EPS)
        return Seen(maps_BChw, scores_BC)


class OnnxRun(OnnxPredictor):
    """A tagged run's file: ``masks --tags predicted``."""

    def require_usable(self) -> None:
        """Settings of the method, and refiners that need more than maps, are the folder's alone."""
        self.settings.require_unset(["method"], f"{self.path} was made of a {RUN}; only the folder has that")
        require_onnx_refiners(self.settings.refine, (PAMR, GUIDED, CRF), self.path)
        resolve_new_paint(self.settings.paint, self.classes, self.path)

    @cached_property
    def brush(self) -> Brush:
        """What gives pixels their classes."""
        return Brush(self.classes, resolve_new_paint(self.settings.paint, self.classes, self.path))

    def paint(self, batch: ImageBatch) -> list[Painted]:
        """The tags with a logit above 0, from their maps."""
        images = [image for _, image in batch]
        return [self.painted(*each) for each in self.localize(images)]

    def localize(self, images: Sequence[Floats]) -> Iterator[tuple[Floats, Floats, Floats]]:
        """Each image with its logits ``(C,)`` and class maps ``(C, Y, X)``."""
        network = RunNetwork(self.model, bool(self.brush.settings.relative))
        seen = sum_maps(network, images, self.settings.look)
        assert seen.scores is not None
        return zip(images, seen.scores, seen.maps, strict=True)

    def answer(self, images: Sequence[Floats], tags: Sequence[int] | None) -> list[Answer]:
        """The scores that compete, by class maps."""
        answers = []
        for image, scores_C, maps_CYX in self.localize(images):
            own = sorted(tags) if tags is not None else self.brush.predicted_tags(scores_C)[0]
            scores_SYX = self.competing(image, maps_CYX, own)
            labels = self.brush.labels(scores_SYX, scores_C, own)
            answers.append(answer_of(scores_SYX, self.probable, labels, own, self.classes))
        return answers

    @property
    def probable(self) -> bool:
        """Whether the scores that compete are probabilities."""
        return CRF in self.settings.refine.names

    def painted(self, image: Floats, scores_C: Floats, maps_CYX: Floats) -> Painted:
        """One image, from its logits and class maps."""
        brush = self.brush
        tags, fallback = brush.predicted_tags(scores_C)
        scores_SYX = self.competing(image, maps_CYX, tags)
        labels = brush.labels(scores_SYX, scores_C, tags)
        if brush.settings.unsure is not None:
            shares_SYX = label_shares(scores_SYX, self.probable)
            labels = brush.without_unsure(labels, shares_SYX)
        return Painted(labels, brush.names(tags), fallback)

    def competing(self, image: Floats, maps_CYX: Floats, tags: Sequence[int]) -> Maps:
        """The scores that compete for the pixels of an image; refiners need torch."""
        brush, refine = self.brush, self.settings.refine
        if not refine.names or not tags:
            return brush.competing(resize_bilinear(maps_CYX[tags], image.shape[1:]), tags)
        import torch

        from tag2mask.refine.on_image import finished_maps, sharpen

        pixels = torch.from_numpy(image)
        maps_KYX = finished_maps(torch.from_numpy(maps_CYX), tags, pixels, refine)
        scores_SYX = torch.from_numpy(brush.competing(maps_KYX.numpy(), tags))
        grid = finest_grid(self.settings.look, self.card.side, self.card.patch, *image.shape[1:])
        return sharpen(pixels, scores_SYX, grid, refine, self.data_settings).numpy()


def require_onnx_refiners(settings: RefineSettings, possible: Sequence[str], path: Path) -> None:
    """A file has what these refiners need, and torch is there for them.

    Raises:
        SettingsError: otherwise.
    """
    for name in settings.names:
        if name not in possible:
            raise SettingsError(f"predict: refine: {path} can be refined by {', '.join(possible)} or none, not {name}")
    if settings.names and importlib.util.find_spec("torch") is None:
        raise SettingsError(f"predict: refine: {', '.join(settings.names)} needs torch: pip install torch")


ONNX_PREDICTORS: Mapping[str, type[OnnxSegmenter | OnnxRun]] = MappingProxyType(
    {SEGMENTER: OnnxSegmenter, RUN: OnnxRun}
)


def open_onnx(path: Path, settings: PredictSettings) -> Predictor:
    """What ``export`` wrote.

    Raises:
        SettingsError: onnxruntime is missing, or a setting is only for folders.
        RunError: ``path`` is no such file.
    """
    model = OnnxModel(path)
    if model.card.kind not in ONNX_PREDICTORS:
        raise RunError(f"{path}: is of kind {model.card.kind}; there are {', '.join(ONNX_PREDICTORS)}")
    return ONNX_PREDICTORS[model.card.kind](path, model, settings)
