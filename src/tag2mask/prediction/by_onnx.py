"""An ONNX file as a predictor, by onnxruntime: no torch.

Shapes: B batch, C classes, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from tag2mask._version import __version__
from tag2mask.data.batches import Photographs
from tag2mask.data.resizing import bilinear, resized, scaled_size, short_side
from tag2mask.errors import RunError
from tag2mask.masks.paint import BARE, paint, predicted_tags
from tag2mask.masks.settings import SHARE_EPS, MaskSettings
from tag2mask.masks.write import Painted
from tag2mask.prediction.onnx_file import OnnxModel
from tag2mask.prediction.predictor import Predictor, painted
from tag2mask.prediction.settings import PredictSettings
from tag2mask.prediction.windows import Eye, Floats, most_probable, probabilities
from tag2mask.segmentation.kinds import RUN, SEGMENTER

IN_TORCH = ("refine", "refine_side", "crf", "crf_engine", "masks")


class OnnxPredictor(Predictor):
    """One file and one way of looking."""

    data = None

    def __init__(self, path: Path, model: OnnxModel, settings: PredictSettings) -> None:
        """Take the model.

        Raises:
            SettingsError: a setting is only for folders.
        """
        settings.require_default(self.unknown(), f"{path} was made of a {model.card.kind}; only the folder has that")
        self.path = path
        self.model = model
        self.card = model.card
        self.settings = settings
        self.classes = model.card.classes
        self.data_settings = model.card.data_settings

    @abstractmethod
    def unknown(self) -> Sequence[str]:
        """Settings that only folders have."""

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


class OnnxSegmenter(OnnxPredictor):
    """A segmenter's file: the same windows, scales and flips."""

    def unknown(self) -> Sequence[str]:
        """The CRF is in torch."""
        return IN_TORCH

    def paint(self, batch: Photographs) -> list[Painted]:
        """The most probable class everywhere."""
        images = [image for _, image in batch]
        eye = Eye(lambda seen: self.model(seen)[0], self.card.side, self.card.crop, self.card.patch)
        shares_BKYX = probabilities(eye, images, self.settings)
        pairs = zip(images, shares_BKYX, strict=True)
        return [painted(most_probable(shares_KYX, image.shape[1:]), self.classes) for image, shares_KYX in pairs]


class OnnxRun(OnnxPredictor):
    """A tagged run's file: ``masks --tags predicted`` with its defaults, photographs whole."""

    def unknown(self) -> Sequence[str]:
        """Refiners are in torch, and there are neither windows nor tiles."""
        return (*IN_TORCH, "overlap", "windows", "max_patches")

    def paint(self, batch: Photographs) -> list[Painted]:
        """The tags with a logit above 0, from their maps."""
        images = [image for _, image in batch]
        return [self.painted(*each) for each in zip(images, *self.localize(images), strict=True)]

    def painted(self, image: Floats, scores_C: Floats, maps_CYX: Floats) -> Painted:
        """One photograph, from its logits and class maps."""
        has_background = self.classes.background is not None
        tags, fallback = predicted_tags(scores_C, has_background)
        maps_KYX = bilinear(maps_CYX[tags], image.shape[1:])
        values = [tag + self.classes.offset for tag in tags]
        labels = paint(maps_KYX, values, scores_C[tags].tolist(), has_background, MaskSettings())
        labels = np.where(labels == BARE, self.classes.ignore, labels)
        return Painted(labels, [self.classes.names[tag] for tag in tags], fallback)

    def localize(self, images: Sequence[Floats]) -> tuple[Floats, Floats]:
        """Logits ``(B, C)``, the mean over scales and flips, and class maps ``(B, C, Y, X)``, their sum."""
        height, width = images[0].shape[1:]
        side = short_side(self.settings.side or self.card.side, height, width, self.card.patch)
        scores: list[Floats] = []
        total_BCYX: Floats | None = None
        for scale in self.settings.scales:
            size = scaled_size(height, width, side, scale)
            batch = np.stack([resized(image, size) for image in images])
            for mirrored in (False, True) if self.settings.flip else (False,):
                scores_BC, maps_BCYX = self.one_pass(batch[..., ::-1] if mirrored else batch)
                maps_BCYX = maps_BCYX[..., ::-1] if mirrored else maps_BCYX
                scores.append(scores_BC)
                total_BCYX = maps_BCYX if total_BCYX is None else total_BCYX + bilinear(maps_BCYX, total_BCYX.shape[2:])
        assert total_BCYX is not None
        return np.mean(scores, 0), total_BCYX

    def one_pass(self, batch: Floats) -> tuple[Floats, Floats]:
        """Logits, and class maps at the pixels of the batch; shares of all classes' maps if there is no background."""
        height, width, patch = *batch.shape[2:], self.card.patch
        padded = np.pad(batch, ((0, 0), (0, 0), (0, -height % patch), (0, -width % patch)), mode="edge")
        scores_BC, maps_BChw = self.model(padded)
        if self.classes.background is None:
            maps_BChw = maps_BChw / (maps_BChw.sum(1, keepdims=True) + SHARE_EPS)
        return scores_BC, bilinear(maps_BChw, padded.shape[2:])[..., :height, :width]


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
