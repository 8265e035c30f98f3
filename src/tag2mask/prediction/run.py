"""Tagged runs as predictors, in torch: ``masks --tags predicted`` for any images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tag2mask.data import Sample
from tag2mask.data.batches import ImageBatch
from tag2mask.inference.arrays import Floats
from tag2mask.masks.localize import Localized
from tag2mask.masks.resolve import choose_refiners, resolve_masks
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import Painted
from tag2mask.painting.make import describe_making
from tag2mask.painting.painter import Painter
from tag2mask.prediction.new_paint import resolve_new_paint
from tag2mask.prediction.predictor import Answer, Predictor, answer_of
from tag2mask.prediction.settings import PredictSettings
from tag2mask.probe.probe import look
from tag2mask.training.run import Run, open_run


class RunPredictor(Predictor):
    """A tagged run with prediction settings."""

    def __init__(self, path: Path, settings: PredictSettings) -> None:
        """Load the weights.

        Raises:
            RunError: ``path`` is not a run, or has no weights yet.
            SettingsError: a setting does not apply to it.
        """
        self.run = open_run(path)
        self.settings = settings
        self.masks = mask_settings(settings, self.run)
        self.painter = Painter(self.run, self.masks)
        self.painter.localizer.method.prune()
        self.classes = self.run.classes
        self.data_settings = self.run.settings.data
        self.data = self.run.own_data

    def origin(self) -> dict[str, Any]:
        """Return the manifest's entries about the run, with the settings in the form of ``masks``."""
        return {**describe_making(self.run, self.masks, self.painter), "overlay": self.settings.overlay}

    def answer(self, images: Sequence[Floats], tags: Sequence[int] | None) -> list[Answer]:
        """Return the scores that compete for pixels, from class maps or a probe."""
        samples = [Sample("", Path(), None if tags is None else tuple(tags)) for _ in images]
        batch = [(sample, torch.from_numpy(image)) for sample, image in zip(samples, images, strict=True)]
        pairs = zip(batch, self.painter.look(batch, tags), strict=True)
        return [self.answer_one(image, found, tags) for (_, image), found in pairs]

    def answer_one(self, image: Tensor, found: Localized, tags: Sequence[int] | None) -> Answer:
        """Return the answer for one image."""
        painter, scores_C = self.painter, found.scores_C.numpy()
        own = sorted(tags) if tags is not None else painter.brush.predicted_tags(scores_C)[0]
        scores_SYX = painter.scores(found, own, image).astype(np.float32)
        return answer_of(painter.brush, self.masks.refine.probable, scores_SYX, scores_C, own)

    def embed(self, image: Floats) -> Floats:
        """Return the patch features after the backbone's last norm, with the run's weights."""
        method, side = self.painter.localizer.method, self.painter.localizer.side
        features_hwD = look(self.run, method, torch.from_numpy(image), side).features_hwD
        return features_hwD.cpu().numpy()

    def paint(self, batch: ImageBatch) -> list[Painted]:
        """Paint images as ``masks`` does."""
        return self.painter.paint([(sample, torch.from_numpy(image)) for sample, image in batch])


def mask_settings(settings: PredictSettings, run: Run) -> MaskSettings:
    """Convert the settings to those of ``masks``.

    Raises:
        SettingsError: a setting does not apply here.
    """
    return resolve_masks(
        MaskSettings(
            split="all",
            tags="predicted",
            method=settings.method,
            look=settings.look,
            refine=choose_refiners(settings, run.own_probe is not None),
            paint=resolve_new_paint(settings.paint, run.classes, run.tag_threshold(), run.path),
        ),
        run,
    )
