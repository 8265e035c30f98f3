"""Prediction: a model and images in, a mask set out. This module does not need torch; opening a folder does."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tag2mask.beside import read_ahead, write_behind
from tag2mask.data import DataSettings, Sample, open_dataset
from tag2mask.data.batches import batches
from tag2mask.data.folder import images_folder, passed_over, require_outside
from tag2mask.errors import RunError, SettingsError
from tag2mask.masks.overlay import OVERLAYS, overlay_jpeg, read_picture
from tag2mask.masks.sharding import Writer, finished_shard, of_list, opened_writer, read_shard, share
from tag2mask.masks.write import MaskSetSummary, Painted
from tag2mask.prediction.images import found_samples
from tag2mask.prediction.predictor import Predictor
from tag2mask.prediction.settings import PredictSettings
from tag2mask.progress import progress_bar
from tag2mask.segmentation.kinds import ONNX, RUN, SEGMENTER, kind_of
from tag2mask.urls import place_name


def predict(
    model: Path,
    images: Sequence[Path],
    out: Path,
    settings: PredictSettings,
    split: str | None = None,
    shard: str | None = None,
) -> MaskSetSummary:
    """Write masks of images of any size: files, folders with sub-folders, or a ``split`` of the model's own data.

    ``model`` is a segmenter, a tagged run, or either as an ONNX file. After an interruption, the same call resumes.
    A ``shard``, ``I/N`` or ``auto``, becomes one file in ``out``, which is begun anew after an interruption.

    Raises:
        RunError: ``model`` is none of these, or has no weights yet.
        DataError: images cannot be found, two share a name, or ``out`` is inside their folder.
        MaskSetError: ``out`` holds something else.
    """
    part = None if shard is None else read_shard(shard, os.environ)
    samples = [] if split is not None else found_samples(images)
    folders = list(filter(Path.is_dir, images))
    for folder in folders:
        require_outside(out, folder)
    predictor = open_predictor(model, settings)  # before the writer, so that a failure leaves no folder
    if split is not None:
        samples = split_samples(predictor, split, images, out)
    part = None if part is None else of_list(part, samples)
    made_from = {**predictor.origin(), **describe_images(predictor, split, images)}
    if (done := finished_shard(out, made_from, part)) is not None:
        return done
    own = share(samples, part, settings.look.batch_size)
    failures: dict[str, str] = {}
    with opened_writer(out, predictor.classes, made_from, part) as writer:
        missing = [sample for sample in own if not writer.has(sample.name)]
        with progress_bar("predict", len(own), len(own) - len(missing)) as bar:
            for line in itertools.chain.from_iterable(map(passed_over, folders)):
                bar.say(line)
            found = batches(missing, predictor.data_settings, settings.look.batch_size, failures)
            with write_behind() as later:
                for batch in read_ahead(found):
                    for (sample, _), painted in zip(batch, predictor.paint(batch), strict=True):
                        later(write, sample, painted, predictor.data_settings, writer, settings.overlay)
                    bar.advance(len(batch))
        return writer.finish(failures)


def segmenter_predictor(path: Path, settings: PredictSettings) -> Predictor:
    """Open a folder written by ``segment``."""
    from tag2mask.prediction.segmenter import SegmenterPredictor

    return SegmenterPredictor(path, settings)


def run_predictor(path: Path, settings: PredictSettings) -> Predictor:
    """Open a folder written by ``train``."""
    from tag2mask.prediction.run import RunPredictor

    return RunPredictor(path, settings)


def onnx_predictor(path: Path, settings: PredictSettings) -> Predictor:
    """Open a file written by ``export``."""
    from tag2mask.prediction.onnx import open_onnx

    return open_onnx(path, settings)


# Each imports its modules when it is called, since ONNX files are also used where torch is not installed.
PREDICTORS: Mapping[str, Callable[[Path, PredictSettings], Predictor]] = MappingProxyType(
    {SEGMENTER: segmenter_predictor, RUN: run_predictor, ONNX: onnx_predictor}
)


def open_predictor(path: Path, settings: PredictSettings) -> Predictor:
    """Open the predictor for ``path``.

    Raises:
        RunError: it cannot predict, or is damaged.
        SettingsError: its kind does not support a setting.
    """
    kind = kind_of(path)
    if kind not in PREDICTORS:
        raise RunError(f"{path} is a {kind}; predict takes a segmenter, a tagged run or an .onnx file")
    return PREDICTORS[kind](path, settings)


def split_samples(predictor: Predictor, split: str, images: Sequence[Path], out: Path) -> list[Sample]:
    """Return the images of a split, after checking that ``out`` is outside their folder."""
    if images:
        raise SettingsError(f"{images[0]} and --split {split}: give images or a split, not both")
    if predictor.data is None:
        raise SettingsError(
            f"--split {split}: an .onnx file, an imported run or a published model has no data set of its own; name "
            "files or a folder"
        )
    require_outside(out, images_folder(predictor.data))
    return list(open_dataset(predictor.data, predictor.data_settings, split))


def describe_images(predictor: Predictor, split: str | None, images: Sequence[Path]) -> dict[str, Any]:
    """Return the manifest's entries about the images."""
    if split is None:
        return {"photographs": [place_name(path) for path in images]}
    return {"photographs": f"split {split} of {predictor.data}", "data": str(predictor.data)}


def write(sample: Sample, painted: Painted, data: DataSettings, writer: Writer, overlays: bool) -> None:
    """Write the mask of one image, after its overlay if ``overlays`` are asked for."""
    if overlays:
        picture = read_picture(sample.image, data)
        writer.put(f"{OVERLAYS}/{sample.name}.jpg", overlay_jpeg(picture, painted.labels, writer.classes))
    writer.add(sample.name, painted)
