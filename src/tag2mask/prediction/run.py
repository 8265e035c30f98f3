"""A tagged run as a predictor: ``masks --tags predicted`` for any photographs, in torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tag2mask.data.batches import Photographs
from tag2mask.masks.resolve import resolve_masks
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import Painted
from tag2mask.painting.make import origin
from tag2mask.painting.painter import Painter
from tag2mask.prediction.new_paint import resolve_new_paint
from tag2mask.prediction.predictor import Predictor
from tag2mask.prediction.settings import PredictSettings
from tag2mask.training.run import Run, open_run


class RunPredictor(Predictor):
    """One run and one way of looking and painting."""

    def __init__(self, path: Path, settings: PredictSettings) -> None:
        """Load the weights.

        Raises:
            RunError: ``path`` is no run, or has no weights yet.
            SettingsError: a setting makes no sense for it.
        """
        self.run = open_run(path)
        self.overlay = settings.overlay
        self.masks = mask_settings(settings, self.run)
        self.painter = Painter(self.run, self.masks)
        self.classes = self.run.classes
        self.data_settings = self.run.settings.data
        self.data = self.run.own_data

    def origin(self) -> dict[str, Any]:
        """The run, and the settings in the words of ``masks``."""
        return {**origin(self.run, self.masks, self.painter), "overlay": self.overlay}

    def paint(self, batch: Photographs) -> list[Painted]:
        """As ``masks`` paints."""
        return self.painter.paint([(sample, torch.from_numpy(image)) for sample, image in batch])


def mask_settings(settings: PredictSettings, run: Run) -> MaskSettings:
    """The same in the words of ``masks``.

    Raises:
        SettingsError: some make no sense here.
    """
    return resolve_masks(
        MaskSettings(
            split="all",
            tags="predicted",
            method=settings.method,
            look=settings.look,
            refine=settings.refine,
            paint=resolve_new_paint(settings.paint, run.classes, run.path),
        ),
        run,
    )
