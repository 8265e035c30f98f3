"""From one run and photographs to label images.

Shapes: C classes, K classes to paint, S scores that compete, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tag2mask.data import DataSettings, Sample
from tag2mask.data.batches import batches as in_arrays
from tag2mask.data.resizing import scaled_size, short_side
from tag2mask.errors import SettingsError
from tag2mask.masks.localize import Localized, localize
from tag2mask.masks.paint import BARE, Labels, Maps, competing, decide, keeps_background, label_shares, predicted_tags
from tag2mask.masks.refine import CRF, GUIDED, PIXEL_REFINERS, PROBE, refine_pixels
from tag2mask.masks.refine.crf import CRF_ENGINES
from tag2mask.masks.refine.guided import guided
from tag2mask.masks.refine.probe import Probe, open_probe
from tag2mask.masks.refine.walk import open_walk
from tag2mask.masks.scores import ONE, Planes
from tag2mask.masks.settings import MaskSettings, Threshold
from tag2mask.masks.write import Painted
from tag2mask.training.run import Run
from tag2mask.vit.grid import resize


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
        self.walk = None if settings.walk is None else open_walk(Path(settings.walk), device)
        if self.walk is not None and len(self.walk.mean) != run.settings.data.bands:
            raise SettingsError(f"{self.walk.path} was trained on {len(self.walk.mean)} bands, {run.path} on others")
        self.probe = None if settings.probe is None else own_probe(Path(settings.probe), run)
        self.side = settings.side or run.settings.backbone.image_size

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
        settings = self.settings
        tags, fallback = self.tags_of(sample, localized.scores_C)
        names = [self.run.classes.names[tag] for tag in tags]
        scores_SYX = self.scores(localized, tags, image)
        labels = self.labels(scores_SYX, localized, tags)
        if not settings.scores and settings.unsure is None:
            return Painted(labels, names, fallback)
        shares_SYX = label_shares(scores_SYX, probable=PROBE in settings.refine or CRF in settings.refine)
        planes = self.planes(shares_SYX, tags) if settings.scores else None
        return Painted(self.without_unsure(labels, shares_SYX), names, fallback, planes)

    def tags_of(self, sample: Sample, scores_C: Tensor) -> tuple[list[int], bool]:
        """The tags to paint, and whether the highest logit had to stand in because none was above 0."""
        if self.settings.tags == "given":
            assert sample.tags is not None
            return sorted(sample.tags), False
        return predicted_tags(scores_C.numpy(), self.run.classes.background is not None)

    def scores(self, localized: Localized, tags: Sequence[int], image: Tensor) -> Maps:
        """The scores ``(S, Y, X)`` that compete for the pixels of an image ``(bands, Y, X)`` in [0, 1]."""
        has_background = self.run.classes.background is not None
        if self.probe is not None and tags:
            kept = keeps_background(has_background, self.settings)
            return self.sharpen(image, self.probe(self.run, self.method, image, tags, kept))
        maps_KYX = finished_maps(localized, tags, image, self.settings).numpy()
        scores_SYX = competing(maps_KYX, has_background, self.settings, self.thresholds(tags))
        return self.sharpen(image, torch.from_numpy(scores_SYX)) if tags else scores_SYX

    def thresholds(self, tags: Sequence[int]) -> list[Threshold | None]:
        """The own thresholds of these classes, None for a class without one."""
        return [self.settings.class_thresholds.get(self.run.classes.names[tag]) for tag in tags]

    def labels(self, scores_SYX: Maps, localized: Localized, tags: Sequence[int]) -> Labels:
        """The label image ``(Y, X)`` that these scores give; pixels without any class are ignore."""
        classes = self.run.classes
        values, logits = [tag + classes.offset for tag in tags], localized.scores_C[list(tags)].tolist()
        has_background = classes.background is not None
        labels = decide(scores_SYX, values, logits, has_background, self.settings, self.thresholds(tags))
        return np.where(labels == BARE, classes.ignore, labels)

    def without_unsure(self, labels: Labels, shares_SYX: Maps) -> Labels:
        """The label image with ignore where the most likely label is less likely than the settings want."""
        if self.settings.unsure is None:
            return labels
        return np.where(shares_SYX.max(0, initial=0) < self.settings.unsure, self.run.classes.ignore, labels)

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

    def sharpen(self, image: Tensor, scores: Tensor) -> Maps:
        """The scores of classes and background, after the refiners that work on them."""
        if self.walk is not None:
            scores = self.walk(image, scores)
        colours = coloured(image, self.run.settings.data)
        if GUIDED in self.settings.refine:
            grid = self.grid(*image.shape[1:])
            scores = at_refine_side(colours, scores, self.settings, lambda x, y: guided(x, y, grid))
        if CRF in self.settings.refine:
            engine = CRF_ENGINES[self.settings.crf_engine]
            scores = at_refine_side(colours, scores, self.settings, lambda x, y: engine(x, y, self.settings.crf))
        return scores.numpy()

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches of the finest look at an image of this size, without what was filled up."""
        patch, probe = self.method.patch, self.probe
        side, scale = (self.side, max(self.settings.scales)) if probe is None else (probe.side, 1.0)
        rows, columns = scaled_size(height, width, short_side(side, height, width, patch), scale)
        return max(round(rows / patch), 1), max(round(columns / patch), 1)


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


def coloured(image: Tensor, settings: DataSettings) -> Tensor:
    """The bands that are shown as colours, of ``(bands, Y, X)``; all of them where nothing is said."""
    return image if settings.rgb is None else image[list(settings.rgb)]


def finished_maps(localized: Localized, tags: Sequence[int], image: Tensor, settings: MaskSettings) -> Tensor:
    """The class maps of ``tags`` at the photograph's size, refined on pixels: ``(K, Y, X)``, ready to be painted."""
    if not tags:
        return torch.zeros(0, *image.shape[-2:])
    maps_KYX = resize(localized.maps_CYX[None, list(tags)], image.shape[-2:])[0]
    if not any(name in PIXEL_REFINERS for name in settings.refine):
        return maps_KYX
    return at_refine_side(image, maps_KYX, settings, partial(refine_pixels, names=settings.refine))


def at_refine_side(
    image: Tensor, maps_KYX: Tensor, settings: MaskSettings, refine: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """``refine`` sees photograph and maps with a long side of ``refine_side`` at most; its result has the full size."""
    size = image.shape[-2:]
    shrink = min(1.0, settings.refine_side / max(size))
    small = [max(round(side * shrink), 1) for side in size]
    refined = refine(resize(image[None], small)[0], resize(maps_KYX[None], small)[0])
    return resize(refined[None], size)[0]
