"""From one run and photographs to label images.

Shapes: C classes, K classes to paint, S scores that compete, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tag2mask.data import DataSettings, Sample
from tag2mask.data.batches import batches as in_arrays
from tag2mask.data.resizing import scaled_size, short_side
from tag2mask.errors import SettingsError
from tag2mask.masks.localize import Localized, localize, resize
from tag2mask.masks.paint import BARE, Maps, paint, predicted_tags
from tag2mask.masks.refine import CRF, GUIDED, PIXEL_REFINERS, refine_pixels
from tag2mask.masks.refine.crf import CRF_ENGINES
from tag2mask.masks.refine.guided import guided
from tag2mask.masks.refine.probe import Probe, open_probe
from tag2mask.masks.refine.walk import open_walk
from tag2mask.masks.settings import MaskSettings
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
        """The label images of photographs of one size."""
        painted = []
        for (sample, image), localized in zip(batch, self.localize(batch), strict=True):
            tags, fallback = self.tags_of(sample, localized.scores_C)
            names = [self.run.classes.names[tag] for tag in tags]
            painted.append(Painted(self.labels(localized, tags, image), names, fallback))
        return painted

    def tags_of(self, sample: Sample, scores_C: Tensor) -> tuple[list[int], bool]:
        """The tags to paint, and whether the highest logit had to stand in because none was above 0."""
        if self.settings.tags == "given":
            assert sample.tags is not None
            return sorted(sample.tags), False
        return predicted_tags(scores_C.numpy(), self.run.classes.background is not None)

    def labels(self, localized: Localized, tags: Sequence[int], image: Tensor) -> NDArray[np.int64]:
        """The label image of a photograph ``(bands, Y, X)`` in [0, 1]; pixels without any class are ignore."""
        classes, settings = self.run.classes, self.settings
        labels = paint(
            finished_maps(localized, tags, image, settings).numpy(),
            [tag + classes.offset for tag in tags],
            localized.scores_C[list(tags)].tolist(),
            classes.background is not None,
            settings,
            [settings.class_thresholds.get(classes.names[tag]) for tag in tags],
            partial(self.sharpen, image, tags),
        )
        return np.where(labels == BARE, classes.ignore, labels)

    def sharpen(self, image: Tensor, tags: Sequence[int], scores_SYX: Maps) -> Maps:
        """The scores of classes and background, after the refiners that work on them if they are asked for."""
        scores = torch.from_numpy(scores_SYX)
        if self.probe is not None:
            scores = self.probe(self.run, self.method, image, tags, background=len(scores) > len(tags))
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
        """Rows and columns of patches that the scores of an image of this size come from."""
        side = self.side if self.probe is None else self.probe.side
        rows, columns = scaled_size(height, width, short_side(side, height, width, self.method.patch), 1.0)
        return max(round(rows / self.method.patch), 1), max(round(columns / self.method.patch), 1)


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
