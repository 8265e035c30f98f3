"""Segmenters as predictors, in torch.

Shapes: K pixel classes, S classes that win somewhere, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tag2mask._version import __version__
from tag2mask.data.batches import ImageBatch
from tag2mask.data.transforms import eval_resize
from tag2mask.errors import RunError, SettingsError
from tag2mask.inference.arrays import Floats
from tag2mask.inference.look import mean_probabilities
from tag2mask.masks.write import Painted
from tag2mask.prediction.predictor import Answer, Predictor, answer_of_segmenter, as_painted, labels_of_segmenter
from tag2mask.prediction.settings import PredictSettings
from tag2mask.refine.dense_crf import require_engine
from tag2mask.refine.settings import CRF
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.model import ViTSegmenter
from tag2mask.segmentation.network import network_of
from tag2mask.tensors import inference_device


class SegmenterPredictor(Predictor):
    """A segmenter with prediction settings."""

    def __init__(self, path: Path, settings: PredictSettings) -> None:
        """Load the weights.

        Raises:
            RunError: ``path`` is not a segmenter, or has no weights yet.
            SettingsError: a setting is for tagged runs.
        """
        settings.require_unset(["paint", "method"], f"it is for tagged runs, and {path} is a segmenter")
        if settings.refine.names not in (None, (), (CRF,)):
            raise SettingsError(
                f"predict: refine: a segmenter supports {CRF} or none, not {', '.join(settings.refine.names)}"
            )
        require_engine(settings.refine.crf_engine)
        self.run = open_segmenter(path)
        self.settings = settings
        self.classes = self.run.classes
        self.data_settings = self.run.data_settings
        self.data = self.run.data
        self.segmenter = self.run.load(inference_device())
        self.network = network_of(self.run, self.segmenter)

    def origin(self) -> dict[str, Any]:
        """Return the manifest's entries about the segmenter and the labels that it learned from."""
        run = self.run
        return {
            "tool": f"tag2mask {__version__}",
            "torch": str(torch.__version__),
            "segmenter": run.path.resolve().name,
            "checkpoint_sha256": run.checkpoint_hash(),
            "settings": {**self.settings.model_dump(mode="json"), "tags": "predicted"},
            "labels_used": run.labels_used,
            "truth_used": run.origin["truth_used"],
        }

    def paint(self, batch: ImageBatch) -> list[Painted]:
        """Paint the most probable class of each pixel, after the CRF if the settings ask for it."""
        images = [image for _, image in batch]
        refine = self.settings.refine
        shares_BKYX = mean_probabilities(self.network, images, self.settings.look)
        return [
            as_painted(labels_of_segmenter(*pair, refine, self.data_settings), self.classes)
            for pair in zip(images, shares_BKYX, strict=True)
        ]

    def answer(self, images: Sequence[Floats], tags: Sequence[int] | None) -> list[Answer]:
        """Return probabilities, only of ``tags`` if they are known."""
        shares_BKYX = mean_probabilities(self.network, images, self.settings.look)
        pairs = zip(images, shares_BKYX, strict=True)
        return [
            answer_of_segmenter(*pair, tags, self.classes, self.settings.refine, self.data_settings) for pair in pairs
        ]

    def embed(self, image: Floats) -> Floats:
        """Return a ViT's patch features after its last norm, with the segmenter's weights."""
        segmenter = self.segmenter
        if not isinstance(segmenter, ViTSegmenter):
            kind = self.run.settings.architecture
            raise RunError(f"{self.run.path} is a {kind}, which has no patch features; only a vit has them")
        pixels, _ = eval_resize(torch.from_numpy(image), self.run.side, segmenter.patch, self.run.mean, self.run.std)
        with torch.no_grad():
            features = segmenter.encoder(pixels[None].to(next(segmenter.parameters()).device))
            normed_MD = segmenter.encoder.norm(features.patch_BMD)[0].float().cpu()
        return np.asarray(normed_MD.view(*features.grid, -1))
