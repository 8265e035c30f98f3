"""From images to class maps, with the method of a tagged run.

Shapes: B batch, C classes, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from tag2mask.data import DataSettings, Sample
from tag2mask.data.batches import batches as in_arrays
from tag2mask.inference.look import sum_maps
from tag2mask.inference.method_network import MethodNetwork, evidence_of
from tag2mask.masks.brush import Brush
from tag2mask.masks.settings import SHARE_EPS, MaskSettings
from tag2mask.methods import Ask, Evidence, Method
from tag2mask.refine.chain import PATCH_REFINERS, refine_patches
from tag2mask.tensors import inference_device
from tag2mask.training.run import Run
from tag2mask.training.settings import Precision
from tag2mask.training.start import as_trained


@dataclass(frozen=True)
class Localized:
    """Logits of an image ``(C,)``, averaged over looks, and class maps ``(C, Y, X)`` at the first scale's size."""

    scores_C: Tensor
    maps_CYX: Tensor


def tensor_batches(
    samples: Sequence[Sample], settings: DataSettings, batch_size: int, failures: dict[str, str]
) -> Iterator[list[tuple[Sample, Tensor]]]:
    """Yield batches of equally large images as tensors ``(bands, Y, X)`` in [0, 1]; note unreadable ones."""
    for batch in in_arrays(samples, settings, batch_size, failures):
        yield [(sample, torch.from_numpy(image)) for sample, image in batch]


class Localizer:
    """A run's method with fixed settings: finds which classes images show, and where."""

    def __init__(self, run: Run, settings: MaskSettings) -> None:
        """Load the weights, on a GPU if there is one."""
        self.run = run
        self.settings = settings
        self.method = run.load_method(inference_device(), settings.method)
        self.side = run.settings.backbone.image_size
        self.brush = Brush(run.classes, settings.paint)

    def localize(self, batch: Sequence[tuple[Sample, Tensor]], classes: Collection[int] = ()) -> list[Localized]:
        """Compute class maps of images of equal size, with those of ``classes`` even if they are unlikely."""
        given = self.settings.tags == "given"
        if given and self.settings.paint.relative and not self.method.computes_all and len(batch) > 1:
            # Shares depend on which classes have maps, which must not depend on other images' tags.
            return [localized for one in batch for localized in self.localize([one])]
        if given:
            classes = {tag for sample, _ in batch for tag in sample.tags or ()}
        images = [image for _, image in batch]
        mean, std, precision = self.run.mean, self.run.std, self.run.settings.precision
        return localize(self.method, images, self.side, mean, std, self.settings, classes, precision)

    def tags_of(self, sample: Sample, scores_C: Tensor) -> tuple[list[int], bool]:
        """Tags to paint, and whether the highest logit was used although none is above 0."""
        if self.settings.tags == "given":
            assert sample.tags is not None
            return sorted(sample.tags), False
        return self.brush.predicted_tags(scores_C.numpy())


@torch.no_grad()
def localize(
    method: Method,
    images: Sequence[Tensor],
    side: int,
    mean: Sequence[float],
    std: Sequence[float],
    settings: MaskSettings,
    classes: Collection[int] = (),
    precision: Precision = "fp32",
) -> list[Localized]:
    """Compute class maps of images of equal size, ``(bands, Y, X)`` in [0, 1]; ``side`` is their side in training.

    Maps are summed over looks before any normalisation. ``precision`` is that of the method's training.
    """

    def read(evidence: Evidence) -> Tensor:
        assert evidence.maps_BChw is not None
        maps_BChw = evidence.maps_BChw.float()
        if settings.paint.relative:
            maps_BChw = share_of_classes(maps_BChw)
        return refine_patches(evidence, maps_BChw, settings.refine.names or ())

    affinity = any(settings.refine.uses(name) for name in PATCH_REFINERS)
    ask = Ask(maps=True, affinity=affinity, classes=tuple(sorted(classes)))
    see = evidence_of(method, ask, read, partial(as_trained, precision))
    seen = sum_maps(MethodNetwork(method, side, mean, std, see), images, settings.look)
    assert seen.scores is not None
    return [Localized(*each) for each in zip(seen.scores.cpu(), seen.maps.cpu(), strict=True)]


def share_of_classes(maps_BChw: Tensor) -> Tensor:
    """Divide each class's map by the sum over all classes at each patch; 0 where all are 0."""
    return maps_BChw / (maps_BChw.sum(1, keepdim=True) + SHARE_EPS)
