"""ONNX files as predictors, run by onnxruntime without torch.

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
    """An ONNX file with prediction settings."""

    data = None

    def __init__(self, path: Path, model: OnnxModel, settings: PredictSettings) -> None:
        """Take the model.

        Raises:
            SettingsError: a setting works only with folders.
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
        """Check that the file supports all settings.

        Raises:
            SettingsError: it does not.
        """

    def origin(self) -> dict[str, Any]:
        """Return the manifest's entries about the file and its origin."""
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
        """Raise ``RunError``: an ONNX file has no patch features."""
        raise RunError(f"{self.path} has no patch features; use the folder that it was exported from")


class OnnxSegmenter(OnnxPredictor):
    """A segmenter's file, with the same windows, scales, flips and CRF as the folder."""

    def require_usable(self) -> None:
        """Check that nothing is set for class maps, which it does not have; the CRF needs torch."""
        self.settings.require_unset(["paint", "method"], f"it is for tagged runs, and {self.path} is a segmenter")
        require_onnx_refiners(self.settings.refine, (CRF,), self.path)

    def paint(self, batch: ImageBatch) -> list[Painted]:
        """Paint the most probable class of each pixel, after the CRF if the settings ask for it."""
        images = [image for _, image in batch]
        refine = self.settings.refine
        shares_BKYX = self.probabilities(images)
        return [
            as_painted(labels_of_segmenter(*pair, refine, self.data_settings), self.classes)
            for pair in zip(images, shares_BKYX, strict=True)
        ]

    def answer(self, images: Sequence[Floats], tags: Sequence[int] | None) -> list[Answer]:
        """Return probabilities, only of ``tags`` if they are known."""
        pairs = zip(images, self.probabilities(images), strict=True)
        return [
            answer_of_segmenter(*pair, tags, self.classes, self.settings.refine, self.data_settings) for pair in pairs
        ]

    def probabilities(self, images: Sequence[Floats]) -> Floats:
        """Return the probabilities of all classes, ``(B, K, Y, X)`` at the network's input size."""
        card = self.card
        network = PixelNetwork(lambda seen: self.model(seen)[0], card.side, card.crop, card.patch)
        return mean_probabilities(network, images, self.settings.look)


class RunNetwork:
    """A tagged run's file as a network: class maps on patches, divided by their sum over classes if ``relative``."""

    arrays: Arrays[Floats] = NumpyArrays()
    window = Window(None, TILE_OVERLAP, faded=True)

    def __init__(self, model: OnnxModel, relative: bool) -> None:
        self.model = model
        self.side = model.card.side
        self.patch = self.cell = model.card.patch
        self.relative = relative

    def __call__(self, images: Floats) -> Seen[Floats]:
        """Return the maps and logits of images."""
        scores_BC, maps_BChw = self.model(images)
        if self.relative:
            maps_BChw = maps_BChw / (maps_BChw.sum(1, keepdims=True) + SHARE_EPS)
        return Seen(maps_BChw, scores_BC)


class OnnxRun(OnnxPredictor):
    """A tagged run's file, which paints like ``masks --tags predicted``."""

    def require_usable(self) -> None:
        """Check that nothing is set which only the folder supports: method settings, and refiners beyond maps."""
        self.settings.require_unset(["method"], f"{self.path} was exported from a {RUN}; only its folder supports that")
        require_onnx_refiners(self.settings.refine, (PAMR, GUIDED, CRF), self.path)
        resolve_new_paint(self.settings.paint, self.classes, self.card.tag_threshold, self.path)

    @cached_property
    def brush(self) -> Brush:
        """The brush that assigns classes to pixels."""
        return Brush(
            self.classes, resolve_new_paint(self.settings.paint, self.classes, self.card.tag_threshold, self.path)
        )

    def paint(self, batch: ImageBatch) -> list[Painted]:
        """Paint the predicted tags from their maps."""
        images = [image for _, image in batch]
        return [self.painted(*each) for each in self.localize(images)]

    def localize(self, images: Sequence[Floats]) -> Iterator[tuple[Floats, Floats, Floats]]:
        """Yield each image with its logits ``(C,)`` and class maps ``(C, Y, X)``."""
        network = RunNetwork(self.model, bool(self.brush.settings.relative))
        seen = sum_maps(network, images, self.settings.look)
        assert seen.scores is not None
        return zip(images, seen.scores, seen.maps, strict=True)

    def answer(self, images: Sequence[Floats], tags: Sequence[int] | None) -> list[Answer]:
        """Return the scores that compete for pixels, from class maps."""
        answers = []
        for image, scores_C, maps_CYX in self.localize(images):
            own = sorted(tags) if tags is not None else self.brush.predicted_tags(scores_C)[0]
            scores_SYX = self.competing(image, maps_CYX, own)
            answers.append(answer_of(self.brush, self.settings.refine.probable, scores_SYX, scores_C, own))
        return answers

    def painted(self, image: Floats, scores_C: Floats, maps_CYX: Floats) -> Painted:
        """Paint one image from its logits and class maps."""
        brush = self.brush
        tags, fallback = brush.predicted_tags(scores_C)
        scores_SYX = self.competing(image, maps_CYX, tags)
        labels = brush.labels(scores_SYX, scores_C, tags)
        if brush.settings.unsure is not None:
            labels = brush.without_unsure(labels, label_shares(scores_SYX, self.settings.refine.probable))
        return Painted(labels, brush.names(tags), fallback)

    def competing(self, image: Floats, maps_CYX: Floats, tags: Sequence[int]) -> Maps:
        """Return the scores that compete for the pixels of an image; refiners need torch."""
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
    """Check that a file supports these refiners, and that torch is installed for them.

    Raises:
        SettingsError: it does not, or torch is missing.
    """
    for name in settings.names or ():
        if name not in possible:
            raise SettingsError(f"predict: refine: {path} supports {', '.join(possible)} or none, not {name}")
    if settings.names and importlib.util.find_spec("torch") is None:
        raise SettingsError(f"predict: refine: {', '.join(settings.names)} needs torch: pip install torch")


ONNX_PREDICTORS: Mapping[str, type[OnnxSegmenter | OnnxRun]] = MappingProxyType(
    {SEGMENTER: OnnxSegmenter, RUN: OnnxRun}
)


def open_onnx(path: Path, settings: PredictSettings) -> Predictor:
    """Open a file written by ``export``.

    Raises:
        SettingsError: onnxruntime is missing, or a setting works only with folders.
        RunError: ``path`` is not such a file.
    """
    model = OnnxModel(path)
    if model.card.kind not in ONNX_PREDICTORS:
        raise RunError(f"{path}: is of kind {model.card.kind}, expected {' or '.join(ONNX_PREDICTORS)}")
    return ONNX_PREDICTORS[model.card.kind](path, model, settings)
