"""A trained segmenter at work: its network for whole images, and its probabilities within an image's tags.

Shapes: S scores (the background's first if there is one), Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from tag2mask.data import Classes
from tag2mask.errors import SettingsError
from tag2mask.inference.from_pixels import FromPixels, in_numpy
from tag2mask.inference.look import mean_probabilities
from tag2mask.inference.networks import PixelNetwork
from tag2mask.inference.settings import LookSettings
from tag2mask.masks.paint import label_shares
from tag2mask.segmentation.folder import SegmenterRun, open_segmenter
from tag2mask.segmentation.model import Segmenter
from tag2mask.tensors import inference_device
from tag2mask.training.start import as_trained
from tag2mask.vit.grid import resize


def network_of(run: SegmenterRun, segmenter: Segmenter) -> PixelNetwork:
    """Return the trained network in the precision of its training, with the run's normalisation before it.

    It stays on its present device.
    """
    model = FromPixels(segmenter, run.mean, run.std).to(next(segmenter.parameters()).device).eval()
    precision = partial(as_trained, run.settings.precision)
    return PixelNetwork(in_numpy(model, precision), run.side, run.crop, segmenter.patch)


@dataclass(frozen=True)
class TrainedSegmenter:
    """A segmenter with its weights in memory, as the refiner ``segmenter`` uses it."""

    run: SegmenterRun
    network: PixelNetwork

    def __call__(self, image: Tensor, values: Sequence[int]) -> Tensor:
        """Probabilities ``(S, Y, X)`` of the pixel ``values`` alone, for an image ``(bands, Y, X)`` in [0, 1]."""
        shares_KYX = mean_probabilities(self.network, [image.numpy()], LookSettings())[0]
        own_SYX = torch.from_numpy(label_shares(shares_KYX[list(values)], probable=True))
        return resize(own_SYX[None], image.shape[-2:])[0]

    def origin(self) -> dict[str, str]:
        """Return the entry for a manifest."""
        return {"name": self.run.path.resolve().name, "sha256": self.run.checkpoint_hash()}


def open_trained(path: Path, classes: Classes) -> TrainedSegmenter:
    """Open a segmenter that knows these classes.

    Raises:
        RunError: it is not a segmenter, or it is damaged.
        SettingsError: it has other classes.
    """
    run = open_segmenter(path)
    if run.classes != classes:
        raise SettingsError(f"{path} has other classes than the run: train one with tag2mask segment on its masks")
    return TrainedSegmenter(run, network_of(run, run.load(inference_device())))
