"""From a run and images to label images.

Shapes: C classes, K classes to paint, S scores that compete, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tag2mask.affinitynet.walk import Walk, open_walk
from tag2mask.data import Sample
from tag2mask.errors import SettingsError
from tag2mask.inference.look import finest_grid
from tag2mask.inference.settings import LookSettings
from tag2mask.masks.localize import Localized, Localizer
from tag2mask.masks.paint import Maps, label_shares
from tag2mask.masks.resolve import probe_folder
from tag2mask.masks.scores import ONE, Planes
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import Painted
from tag2mask.probe.probe import Probe, open_probe
from tag2mask.refine.on_image import finished_maps, sharpen
from tag2mask.segmentation.network import open_trained
from tag2mask.tensors import inference_device
from tag2mask.training.run import Run


class Painter:
    """Localises and paints images with one run and fixed settings."""

    def __init__(self, run: Run, settings: MaskSettings) -> None:
        """Load the weights of the run and of its refiners.

        Raises:
            RunError: the folder of a refiner is of the wrong kind or damaged.
            SettingsError: a refiner belongs to another run, or to other bands or classes.
        """
        self.run = run
        self.settings = settings
        self.localizer = Localizer(run, settings)
        self.brush = self.localizer.brush
        self.walk = None if settings.refine.walk is None else matching_walk(Path(settings.refine.walk), run)
        probe = probe_folder(settings.refine, run)
        self.probe = None if probe is None else matching_probe(probe, run)
        student = settings.refine.segmenter
        self.segmenter = None if student is None else open_trained(Path(student), run.classes)

    def paint(self, batch: Sequence[tuple[Sample, Tensor]]) -> list[Painted]:
        """Paint images of equal size, with their scores if requested."""
        return [self.paint_one(*given, found) for given, found in zip(batch, self.look(batch), strict=True)]

    def look(self, batch: Sequence[tuple[Sample, Tensor]], tags: Sequence[int] | None = None) -> list[Localized]:
        """Localise the images; ``tags`` are those of all images, if they are known.

        With known tags, a probe needs neither logits nor maps, so both are 0.
        """
        known = tags is not None or self.settings.tags == "given"
        if self.probe is None or not known:
            return self.localizer.localize(batch, tags or ())
        classes = len(self.run.classes.names)
        return [Localized(torch.zeros(classes), torch.zeros(classes, 1, 1)) for _ in batch]

    def paint_one(self, sample: Sample, image: Tensor, localized: Localized) -> Painted:
        """Paint one image ``(bands, Y, X)`` in [0, 1], with its scores if requested."""
        settings, brush = self.settings, self.brush
        tags, fallback = self.localizer.tags_of(sample, localized.scores_C)
        scores_SYX = self.scores(localized, tags, image)
        labels = brush.labels(scores_SYX, localized.scores_C.numpy(), tags)
        if not settings.scores and settings.paint.unsure is None:
            return Painted(labels, brush.names(tags), fallback)
        shares_SYX = label_shares(scores_SYX, settings.refine.probable)
        planes = self.planes(shares_SYX, tags) if settings.scores else None
        return Painted(brush.without_unsure(labels, shares_SYX), brush.names(tags), fallback, planes)

    def scores(self, localized: Localized, tags: Sequence[int], image: Tensor) -> Maps:
        """Compute the scores ``(S, Y, X)`` that compete for the pixels of an image ``(bands, Y, X)`` in [0, 1]."""
        if self.probe is not None and tags:
            return self.sharpen(image, self.probe(self.run, self.localizer.method, image, self.values(tags)), tags)
        maps_KYX = finished_maps(localized.maps_CYX, tags, image, self.settings.refine).numpy()
        scores_SYX = self.brush.competing(maps_KYX, tags)
        return self.sharpen(image, torch.from_numpy(scores_SYX), tags) if tags else scores_SYX

    def planes(self, shares_SYX: Maps, tags: Sequence[int]) -> Planes | None:
        """Planes that a mask set stores: label shares averaged over patches, ``(S, h, w)``, times 255.

        A background that does not compete gets a plane of 0. None if there is neither a background nor a tag.
        """
        bare = len(tags) + self.run.classes.offset - len(shares_SYX)
        shares = F.pad(torch.from_numpy(shares_SYX), (0, 0, 0, 0, bare, 0))
        if not len(shares):
            return None
        means_Shw = F.adaptive_avg_pool2d(shares, self.grid(*shares.shape[-2:]))
        return np.asarray((ONE * means_Shw).round().to(torch.uint8))

    def sharpen(self, image: Tensor, scores_SYX: Tensor, tags: Sequence[int]) -> Maps:
        """Apply the refiners that work on the scores of ``tags`` and the background."""
        if self.walk is not None:
            scores_SYX = self.walk(image, scores_SYX)
        if self.segmenter is not None:
            own_SYX = torch.from_numpy(label_shares(scores_SYX.numpy(), self.probe is not None))
            scores_SYX = (own_SYX + self.segmenter(image, self.values(tags))) / 2
        grid = self.grid(*image.shape[1:])
        return sharpen(image, scores_SYX, grid, self.settings.refine, self.run.settings.data).numpy()

    def values(self, tags: Sequence[int]) -> list[int]:
        """Pixel values of the scores that compete in an image with these tags."""
        values = [tag + self.run.classes.offset for tag in tags]
        return [0, *values] if self.brush.keeps_background else values

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches, without padding, of an image of this size at the largest scale."""
        look = self.settings.look if self.probe is None else LookSettings()
        side = self.localizer.side if self.probe is None else self.probe.side
        return finest_grid(look, side, self.localizer.method.patch, height, width)


def matching_probe(path: Path, run: Run) -> Probe:
    """Open a probe that was trained with this run.

    Raises:
        RunError: it is not a probe.
        SettingsError: it was trained with another run.
    """
    probe = open_probe(path)
    if probe.run_sha256 != run.checkpoint_hash():
        raise SettingsError(f"{path} was trained with another run than {run.path}: train one with tag2mask train-probe")
    return probe


def matching_walk(path: Path, run: Run) -> Walk:
    """Open a walk that takes as many bands as this run.

    Raises:
        RunError: it is not a walk.
        SettingsError: it takes another number of bands.
    """
    walk = open_walk(path, inference_device())
    if len(walk.mean) != run.settings.data.bands:
        bands = run.settings.data.bands
        raise SettingsError(f"{path} was trained on {len(walk.mean)} bands, but {run.path} on {bands}")
    return walk
