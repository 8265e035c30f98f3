"""A run and photographs in, a mask set out.

Shapes: C classes, K classes to paint, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import tag2mask
from tag2mask.data import Classes, Sample, open_dataset
from tag2mask.data.reading import read_image, to_float
from tag2mask.errors import DataError, SettingsError
from tag2mask.masks.localize import Localized, localize, resize
from tag2mask.masks.paint import BARE, Maps, paint
from tag2mask.masks.refine import CRF, PIXEL_REFINERS, WALK, refine_pixels, require_refiners
from tag2mask.masks.refine.crf import crf
from tag2mask.masks.refine.walk import Walk, open_walk
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import MaskSetWriter
from tag2mask.training.progress import progress_bar
from tag2mask.training.run import Run, open_run


@dataclass(frozen=True)
class MaskSetSummary:
    """What came of it: masks in ``path``, photographs without a predicted tag, and photographs that failed."""

    path: Path
    images: int
    fallbacks: int
    failures: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"masks": str(self.path), "images": self.images, "fallbacks": self.fallbacks, "failures": self.failures}


def make_masks(
    run: Path, data: Path | None = None, out: Path | None = None, settings: MaskSettings | None = None
) -> MaskSetSummary:
    """Paint the photographs of a split; stopped in between, the same call goes on.

    Raises:
        RunError: ``run`` is no run.
        DataError: photographs cannot be found, or their tags are to be used and are not there.
        MaskSetError: ``out`` holds something else.
    """
    opened = open_run(run)
    settings = resolved(settings or MaskSettings(), opened)
    dataset = open_dataset(data or opened.data, opened.settings.data, settings.split)
    if dataset.classes != opened.classes:
        raise DataError(f"{data}: its classes are not those that {run} was trained on")
    if settings.tags == "given":
        require_tags(list(dataset), settings.split)
    out = out or run / f"masks-{settings.split}"
    painter = Painter(opened, settings)  # before the writer: what cannot be loaded leaves no folder
    writer = MaskSetWriter(out, opened.classes, origin(opened, data or opened.data, settings, painter.walk))
    failures: dict[str, str] = {}
    samples = [sample for sample in dataset if not writer.has(sample.name)]
    with progress_bar("masks", len(dataset), len(dataset) - len(samples)) as bar:
        for batch in batches(samples, opened.settings.data.bands, settings.batch_size, failures):
            painter.paint(batch, writer)
            bar.advance(len(batch))
    writer.finish(failures)
    return MaskSetSummary(out, len(writer.tags), len(writer.fallbacks), failures)


def resolved(settings: MaskSettings, run: Run) -> MaskSettings:
    """The settings with everything decided that depends on the run.

    Raises:
        SettingsError: a refiner is unknown or out of order, or the walk's folder is missing or not used.
    """
    require_refiners(settings.refine)
    if (WALK in settings.refine) != (settings.walk is not None):
        raise SettingsError("--refine walk and --walk WALK belong together: WALK is what tag2mask refine-train wrote")
    if settings.relative is not None:
        return settings
    return settings.model_copy(update={"relative": run.classes.background is None})


def require_tags(samples: Sequence[Sample], split: str) -> None:
    """Every photograph has tags."""
    untagged = [sample.name for sample in samples if sample.tags is None]
    if untagged:
        raise DataError(
            f"{len(untagged)} of {len(samples)} photographs of split {split} have no tags, {untagged[0]} first; "
            "use --tags predicted"
        )


def origin(run: Run, data: Path, settings: MaskSettings, walk: Walk | None) -> dict[str, Any]:
    """Everything that decides what the masks look like."""
    return {
        "tool": f"tag2mask {tag2mask.__version__}",
        "torch": str(torch.__version__),
        "run": run.path.resolve().name,
        "checkpoint_sha256": run.checkpoint_hash(),
        "method": run.settings.method,
        "walk": None if walk is None else walk.origin(),
        "data": str(data.resolve()),
        "settings": settings.model_dump(mode="json"),
        "labels_used": f"image tags, {settings.tags}",
        "truth_used": truth_used(settings),
    }


def truth_used(settings: MaskSettings) -> str:
    """What these masks owe to pixel labels."""
    split = settings.background.tuned_on
    return "none" if split is None else f"background threshold tuned on the truth of split {split}"


def batches(
    samples: Sequence[Sample], bands: int, batch_size: int, failures: dict[str, str]
) -> Iterator[list[tuple[Sample, Tensor]]]:
    """Photographs ``(bands, Y, X)`` in [0, 1], neighbours of one size together; those that cannot be read are noted."""
    batch: list[tuple[Sample, Tensor]] = []
    for sample in samples:
        try:
            image = to_float(read_image(sample.image, bands))
        except DataError as error:
            failures[sample.name] = str(error)
            continue
        if batch and (len(batch) == batch_size or image.shape != batch[0][1].shape):
            yield batch
            batch = []
        batch.append((sample, image))
    if batch:
        yield batch


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
        self.side = settings.side or run.settings.backbone.image_size

    def localize(self, batch: Sequence[tuple[Sample, Tensor]]) -> list[Localized]:
        """Class maps of photographs of one size."""
        images = [image for _, image in batch]
        return localize(self.method, images, self.side, self.run.mean, self.run.std, self.settings)

    def paint(self, batch: Sequence[tuple[Sample, Tensor]], writer: MaskSetWriter) -> None:
        """Write the masks of photographs of one size."""
        for (sample, image), localized in zip(batch, self.localize(batch), strict=True):
            tags, fallback = self.tags_of(sample, localized.scores_C)
            labels = paint_photograph(localized, tags, image, self.run.classes, self.settings, self.walk)
            writer.add(sample.name, labels, [self.run.classes.names[tag] for tag in tags], fallback)

    def tags_of(self, sample: Sample, scores_C: Tensor) -> tuple[list[int], bool]:
        """The tags to paint, and whether the highest logit had to stand in because none was above 0."""
        if self.settings.tags == "given":
            assert sample.tags is not None
            return sorted(sample.tags), False
        predicted = (scores_C > 0).nonzero().flatten().tolist()
        if predicted or self.run.classes.background is not None:
            return predicted, False
        return [int(scores_C.argmax())], True


def paint_photograph(
    localized: Localized,
    tags: Sequence[int],
    image: Tensor,
    classes: Classes,
    settings: MaskSettings,
    walk: Walk | None = None,
) -> NDArray[np.int64]:
    """The label image of a photograph ``(bands, Y, X)`` in [0, 1]; pixels without any class are ignore."""
    maps_KYX = finished_maps(localized, tags, image, settings)
    logits = localized.scores_C[list(tags)].tolist()
    values = [tag + classes.offset for tag in tags]
    sharpen = partial(sharpened, image, settings, walk)
    labels = paint(maps_KYX.numpy(), values, logits, classes.background is not None, settings, sharpen)
    return np.where(labels == BARE, classes.ignore, labels)


def finished_maps(localized: Localized, tags: Sequence[int], image: Tensor, settings: MaskSettings) -> Tensor:
    """The class maps of ``tags`` at the photograph's size, refined on pixels: ``(K, Y, X)``, ready to be painted."""
    if not tags:
        return torch.zeros(0, *image.shape[-2:])
    maps_KYX = resize(localized.maps_CYX[None, list(tags)], image.shape[-2:])[0]
    if not any(name in PIXEL_REFINERS for name in settings.refine):
        return maps_KYX
    return at_refine_side(image, maps_KYX, settings, partial(refine_pixels, names=settings.refine))


def sharpened(image: Tensor, settings: MaskSettings, walk: Walk | None, scores_SYX: Maps) -> Maps:
    """The scores of classes and background, after the walk and the CRF if they are asked for."""
    scores = torch.from_numpy(scores_SYX)
    if walk is not None:
        scores = walk(image, scores)
    if CRF in settings.refine:
        scores = at_refine_side(image, scores, settings, partial(crf, settings=settings.crf))
    return scores.numpy()


def at_refine_side(
    image: Tensor, maps_KYX: Tensor, settings: MaskSettings, refine: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """``refine`` sees photograph and maps with a long side of ``refine_side`` at most; its result has the full size."""
    size = image.shape[-2:]
    shrink = min(1.0, settings.refine_side / max(size))
    small = [max(round(side * shrink), 1) for side in size]
    refined = refine(resize(image[None], small)[0], resize(maps_KYX[None], small)[0])
    return resize(refined[None], size)[0]
