"""A segmenter and photographs in, a mask set out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import tag2mask
from tag2mask.data import Classes, Sample, open_dataset
from tag2mask.data.folder import find_images, is_image, strip_suffix
from tag2mask.errors import DataError, SettingsError
from tag2mask.masks.make import MaskSetSummary
from tag2mask.masks.overlay import Picture, overlay, read_picture
from tag2mask.masks.painter import batches
from tag2mask.masks.write import MaskSetWriter
from tag2mask.segmentation.folder import SegmenterRun, open_segmenter
from tag2mask.segmentation.settings import PredictSettings
from tag2mask.segmentation.windows import most_probable, probabilities
from tag2mask.training.progress import progress_bar

OVERLAYS = "overlays"


def predict(
    segmenter: Path,
    photographs: Sequence[Path],
    out: Path,
    settings: PredictSettings,
    split: str | None = None,
) -> MaskSetSummary:
    """Mask photographs of any size: files, folders with sub-folders, or a ``split`` of the data the run came from.

    Stopped in between, the same call goes on.

    Raises:
        RunError: ``segmenter`` is none, or has no weights yet.
        DataError: photographs cannot be found, or two have one name.
        MaskSetError: ``out`` holds something else.
    """
    opened = open_segmenter(segmenter)
    samples = split_samples(opened, split, photographs) if split is not None else found_samples(photographs)
    predictor = Predictor(opened, settings)  # before the writer: what cannot be loaded leaves no folder
    given = f"split {split} of {opened.data}" if split else [str(path.resolve()) for path in photographs]
    writer = MaskSetWriter(out, opened.classes, {**origin(opened, settings), "photographs": given})
    failures: dict[str, str] = {}
    missing = [sample for sample in samples if not writer.has(sample.name)]
    with progress_bar("predict", len(samples), len(samples) - len(missing)) as bar:
        for batch in batches(missing, opened.data_settings, settings.batch_size, failures):
            predictor.write(batch, writer)
            bar.advance(len(batch))
    writer.finish(failures)
    return MaskSetSummary(out, len(writer.tags), 0, failures)


class Predictor:
    """One segmenter and one way of looking."""

    def __init__(self, run: SegmenterRun, settings: PredictSettings) -> None:
        self.run = run
        self.settings = settings
        self.segmenter = run.load("cuda" if torch.cuda.is_available() else "cpu")
        self.side = settings.side or run.settings.augment.base_for(run.crop)

    def labels(self, images: Sequence[Tensor]) -> list[NDArray[np.int64]]:
        """Label images of photographs of one size, at that size."""
        run, size = self.run, images[0].shape[-2:]
        shares = probabilities(self.segmenter, images, self.side, run.crop, run.mean, run.std, self.settings)
        return [most_probable(shares_KYX, size) for shares_KYX in shares]

    def write(self, batch: Sequence[tuple[Sample, Tensor]], writer: MaskSetWriter) -> None:
        """The masks of photographs of one size."""
        for (sample, _), labels in zip(batch, self.labels([image for _, image in batch]), strict=True):
            if self.settings.overlay:
                picture = read_picture(sample.image, self.run.data_settings)
                write_overlay(writer.path / OVERLAYS / f"{sample.name}.jpg", picture, labels, writer.classes)
            writer.add(sample.name, labels, classes_in(labels, writer.classes), fallback=False)


def classes_in(labels: NDArray[np.int64], classes: Classes) -> list[str]:
    """The classes that a label image has, without the background."""
    return [classes.names[value - classes.offset] for value in np.unique(labels).tolist() if value >= classes.offset]


def write_overlay(path: Path, picture: Picture, labels: NDArray[np.int64], classes: Classes) -> None:
    """A mask over its photograph."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(overlay(picture, labels, classes)).save(path, "JPEG", quality=90)


def split_samples(run: SegmenterRun, split: str, photographs: Sequence[Path]) -> list[Sample]:
    """The photographs of a split."""
    if photographs:
        raise SettingsError(f"{photographs[0]} and --split {split}: give photographs or a split, not both")
    return list(open_dataset(run.data, run.data_settings, split))


def found_samples(photographs: Sequence[Path]) -> list[Sample]:
    """The photographs of files and folders, each named by its path from the folder given.

    Raises:
        SettingsError: none is given.
        DataError: one does not exist or is no photograph, a folder holds none, or two have one name.
    """
    if not photographs:
        raise SettingsError("no photographs: name files or a folder, or one of the run's own lists with --split NAME")
    found: dict[str, Path] = {}
    for path in photographs:
        for name, image in named_images(path).items():
            if name in found:
                raise DataError(f"{image}: {found[name]} has the same name; masks are named after photographs")
            found[name] = image
    return [Sample(name, image) for name, image in found.items()]


def named_images(path: Path) -> dict[str, Path]:
    """The photographs that a file or folder stands for, by name."""
    if path.is_dir():
        images = find_images(path)
        if not images:
            raise DataError(f"{path}: holds no photograph")
        return images
    if not path.is_file():
        raise DataError(f"{path}: there is no such file or folder")
    if not is_image(path):
        raise DataError(f"{path}: is no photograph by its name")
    return {strip_suffix(path.name): path}


def origin(run: SegmenterRun, settings: PredictSettings) -> dict[str, Any]:
    """Everything that decides what the masks look like but the photographs."""
    return {
        "tool": f"tag2mask {tag2mask.__version__}",
        "torch": str(torch.__version__),
        "segmenter": run.path.resolve().name,
        "checkpoint_sha256": run.checkpoint_hash(),
        "settings": {**settings.model_dump(mode="json"), "tags": "predicted"},
        "labels_used": f"none here; the segmenter learned from: {run.origin['labels_used']}",
        "truth_used": run.origin["truth_used"],
    }
