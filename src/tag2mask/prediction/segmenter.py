"""A segmenter's folder as a predictor, in torch.

Shapes: K pixel classes, S classes that win somewhere, Y X pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tag2mask._version import __version__
from tag2mask.data.batches import Photographs
from tag2mask.errors import SettingsError
from tag2mask.inference.arrays import Floats
from tag2mask.inference.look import mean_probabilities
from tag2mask.inference.networks import PixelNetwork
from tag2mask.masks.paint import most_probable
from tag2mask.masks.write import Painted
from tag2mask.prediction.from_pixels import FromPixels, in_numpy
from tag2mask.prediction.predictor import Predictor, painted, sharpened
from tag2mask.prediction.settings import PredictSettings
from tag2mask.refine.crf import require_engine
from tag2mask.refine.settings import CRF
from tag2mask.segmentation.folder import SegmenterRun, open_segmenter


class SegmenterPredictor(Predictor):
    """One segmenter and one way of looking."""

    def __init__(self, path: Path, settings: PredictSettings) -> None:
        """Load the weights.

        Raises:
            RunError: ``path`` is no segmenter, or has no weights yet.
            SettingsError: a setting is for tagged runs.
        """
        settings.require_unset(["paint", "method"], f"it is for tagged runs, and {path} is a segmenter")
        if settings.refine.names not in ((), (CRF,)):
            raise SettingsError(
                f"predict: refine: a segmenter's masks are refined by {CRF} or none, not {settings.refine.names}"
            )
        require_engine(settings.refine.crf_engine)
        self.run = open_segmenter(path)
        self.settings = settings
        self.classes = self.run.classes
        self.data_settings = self.run.data_settings
        self.data = self.run.data
        self.network = network_of(self.run)

    def origin(self) -> dict[str, Any]:
        """The segmenter, and whose labels it learned."""
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

    def paint(self, batch: Photographs) -> list[Painted]:
        """The most probable class everywhere, after the CRF if it is asked for."""
        images = [image for _, image in batch]
        shares_BKYX = mean_probabilities(self.network, images, self.settings.look)
        return [painted(self.labels(*pair), self.classes) for pair in zip(images, shares_BKYX, strict=True)]

    def labels(self, image: Floats, shares_KYX: Floats) -> NDArray[np.int64]:
        """The label image of a photograph ``(bands, Y, X)`` in [0, 1]."""
        if CRF in self.settings.refine.names:
            return sharpened(image, shares_KYX, self.settings.refine, self.data_settings)
        return most_probable(shares_KYX, image.shape[1:])


def network_of(run: SegmenterRun) -> PixelNetwork:
    """The trained network, on a GPU if there is one.

    Raises:
        RunError: the weights are missing or damaged.
    """
    segmenter = run.load()
    model = FromPixels(segmenter, run.mean, run.std).to("cuda" if torch.cuda.is_available() else "cpu").eval()
    return PixelNetwork(in_numpy(model), run.side, run.crop, segmenter.patch)
