"""From one run and photographs to label images.

Shapes: C classes, K classes to paint, S scores that compete, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tag2mask.data import DataSettings, Sample
from tag2mask.data.batches import batches as in_arrays
from tag2mask.errors import SettingsError
from tag2mask.inference.look import finest_grid
from tag2mask.inference.settings import LookSettings
from tag2mask.masks.brush import Brush
from tag2mask.masks.localize import Localized, localize
from tag2mask.masks.paint import Maps, label_shares
from tag2mask.masks.refine.probe import Probe, open_probe
from tag2mask.masks.refine.walk import open_walk
from tag2mask.masks.refining import finished_maps, sharpen
from tag2mask.masks.scores import ONE, Planes
from tag2mask.masks.settings import CRF, PROBE, MaskSettings
from tag2mask.masks.write import Painted
from tag2mask.training.run import Run


def batches(
    samples: Sequence[Sample], settings: DataSettings, batch_size: int, failures: dict[str, str]
) -> Iterator[list[tuple[Sample, Tensor]]]:
    """Photographs of one size together, as tensors ``(bands, Y, X)`` in [0, 1]; what cannot be read is noted."""
    for batch in in_arrays(samples, settings, batch_size, failures):
        yield [(sample, torch.from_numpy(image)) for sample, image in batch]


class Painter:
    """Localizes and paints photographs with one run and one group of settings."""

    def __init__(self, run: Run, settings: MaskSettings) -> None:
        self.run = run
        self.settings = settings
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.method = run.load_method(device, settings.method)
        self.walk = None if settings.refine.walk is None else open_walk(Path(settings.refine.walk), device)
        if self.walk is not None and len(self.walk.mean) != run.settings.data.bands:
            raise SettingsError(f"{self.walk.path} was trained on {len(self.walk.mean)} bands, {run.path} on others")
        self.probe = None if settings.refine.probe is None else own_probe(Path(settings.refine.probe), run)
        self.side = run.settings.backbone.image_size
        self.brush = Brush(run.classes, settings.paint)

    def localize(self, batch: Sequence[tuple[Sample, Tensor]]) -> list[Localized]:
        """Class maps of photographs of one size."""
        images = [image for _, image in batch]
        return localize(self.method, images, self.side, self.run.mean, self.run.std, self.settings)

    def paint(self, batch: Sequence[tuple[Sample, Tensor]]) -> list[Painted]:
        """The label images of images of one size, with their scores if they are asked for."""
        return [self.paint_one(*given, found) for given, found in zip(batch, self.look(batch), strict=True)]

    def look(self, batch: Sequence[tuple[Sample, Tensor]]) -> list[Localized]:
        """What is needed to paint: with given tags a probe needs neither logits nor maps, so both are 0."""
        if self.probe is None or self.settings.tags == "predicted":
            return self.localize(batch)
        classes = len(self.run.classes.names)
        return [Localized(torch.zeros(classes), torch.zeros(classes, 1, 1)) for _ in batch]

    def paint_one(self, sample: Sample, image: Tensor, localized: Localized) -> Painted:
        """The label image, and the scores, of one image ``(bands, Y, X)`` in [0, 1]."""
        settings, brush = self.settings, self.brush
        tags, fallback = self.tags_of(sample, localized.scores_C)
        scores_SYX = self.scores(localized, tags, image)
        labels = brush.labels(scores_SYX, localized.scores_C.numpy(), tags)
        if not settings.scores and settings.paint.unsure is None:
            return Painted(labels, brush.names(tags), fallback)
        probable = any(name in settings.refine.names for name in (PROBE, CRF))
        shares_SYX = label_shares(scores_SYX, probable)
        planes = self.planes(shares_SYX, tags) if settings.scores else None
        return Painted(brush.without_unsure(labels, shares_SYX), brush.names(tags), fallback, planes)

    def tags_of(self, sample: Sample, scores_C: Tensor) -> tuple[list[int], bool]:
        """The tags to paint, and whether the highest logit had to stand in because none was above 0."""
        if self.settings.tags == "given":
            assert sample.tags is not None
            return sorted(sample.tags), False
        return self.brush.predicted_tags(scores_C.numpy())

    def scores(self, localized: Localized, tags: Sequence[int], image: Tensor) -> Maps:
        """The scores ``(S, Y, X)`` that compete for the pixels of an image ``(bands, Y, X)`` in [0, 1]."""
        if self.probe is not None and tags:
            return self.sharpen(image, self.probe(self.run, self.method, image, tags, self.brush.keeps_background))
        maps_KYX = finished_maps(localized.maps_CYX, tags, image, self.settings.refine).numpy()
        scores_SYX = self.brush.competing(maps_KYX, tags)
        return self.sharpen(image, torch.from_numpy(scores_SYX)) if tags else scores_SYX

    def planes(self, shares_SYX: Maps, tags: Sequence[int]) -> Planes | None:
        """What a mask set stores of label shares: their means ``(S, h, w)`` over patches, in 255ths.

        A background that does not compete has shares of 0. None if there is neither a background nor a tag.
        """
        bare = len(tags) + self.run.classes.offset - len(shares_SYX)
        shares = F.pad(torch.from_numpy(shares_SYX), (0, 0, 0, 0, bare, 0))
        if not len(shares):
            return None
        means_Shw = F.adaptive_avg_pool2d(shares, self.grid(*shares.shape[-2:]))
        return np.asarray((ONE * means_Shw).round().to(torch.uint8))

    def sharpen(self, image: Tensor, scores_SYX: Tensor) -> Maps:
        """The scores of classes and background, after the refiners that work on them."""
        if self.walk is not None:
            scores_SYX = self.walk(image, scores_SYX)
        grid = self.grid(*image.shape[1:])
        return sharpen(image, scores_SYX, grid, self.settings.refine, self.run.settings.data).numpy()

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches of the finest look at an image of this size, without what was filled up."""
        look = self.settings.look if self.probe is None else LookSettings()
        side = self.side if self.probe is None else self.probe.side
        return finest_grid(look, side, self.method.patch, height, width)


def own_probe(path: Path, run: Run) -> Probe:
    """A probe that was learned with this run.

    Raises:
        RunError: it is no probe.
        SettingsError: it was learned with another run.
    """
    probe = open_probe(path)
    if probe.run_sha256 != run.checkpoint_hash():
        raise SettingsError(f"{path} was learned with another run than {run.path}: learn one with tag2mask train-probe")
    return probe
