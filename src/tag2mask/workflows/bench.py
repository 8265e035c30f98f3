"""``tag2mask bench``: about a minute of every step with its default settings, and what that means for a data set."""

from __future__ import annotations

import csv
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tag2mask.data import Classes, DataSettings, Sample, open_dataset
from tag2mask.data.loading import load_image
from tag2mask.errors import DataError
from tag2mask.measuring import machine, peak_mib
from tag2mask.painting.make import make_masks
from tag2mask.prediction.predict import predict
from tag2mask.prediction.settings import PredictSettings
from tag2mask.probe.settings import ProbeSettings
from tag2mask.probe.train import default_scales, train_probe
from tag2mask.progress import watched
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import segment
from tag2mask.shown import Shown, Table, counted
from tag2mask.training.interrupt import Interrupt
from tag2mask.training.loop import Material, Trainer, prepare_method, train
from tag2mask.training.memory import USED, free_bytes, measure_costs, measure_step, optimiser_bytes
from tag2mask.training.settings import TrainSettings, with_epochs
from tag2mask.training.start import complete
from tag2mask.workflows.training import gets_probe

FEW, MANY = 24, 256  # least images that every step is measured on: on a CPU, on a GPU
STEPS = ("train", "probe", "masks", "segment", "predict")
VOC, VOC_CLASSES, IMAGES = (375, 500), 20, 1000  # without a data set


@dataclass(frozen=True)
class Rate:
    """Images per second of a step, how often it sees each image, and its hours for all images."""

    step: str
    images_per_second: float
    epochs: int
    hours: float


@dataclass(frozen=True)
class BenchResult:
    """What was measured on ``machine`` with images of ``size`` (height, width), and what ``images`` of them will take.

    ``hard_hours`` come on top if the tags turn out to be hard. ``largest_batch`` is the number of images that fit into
    the free memory at once in training: without and with gradient checkpointing.
    """

    machine: dict[str, Any]
    images: int
    classes: int
    size: tuple[int, int]
    rates: tuple[Rate, ...]
    hard_hours: float
    largest_batch: dict[str, int]
    peak_mib: float

    @property
    def hours(self) -> float:
        """Hours of all steps."""
        return sum(rate.hours for rate in self.rates)

    def to_json(self) -> dict[str, Any]:
        """Return the output for ``--json``."""
        rates = {rate.step: {key: value for key, value in vars(rate).items() if key != "step"} for rate in self.rates}
        return {**vars(self), "size": list(self.size), "rates": rates, "hours": self.hours}

    def shown(self) -> Shown:
        """Return the output for people."""
        rows = [[one.step, f"{one.images_per_second:.3g}", str(one.epochs), f"{one.hours:.3g}"] for one in self.rates]
        where = self.machine["gpu"] or f"{self.machine['cpu']}, {counted(self.machine['threads'], 'thread')}"
        plain, again = self.largest_batch.values()
        return [
            f"{where}: {counted(self.images, 'image')} of {self.size[0]} x {self.size[1]} pixels, "
            f"{self.classes} classes, default settings",
            Table(["step", "images per second", "epochs", "hours"], rows),
            f"{self.hours:.3g} hours in all, {self.hard_hours:.3g} more if the tags are hard; "
            f"largest training batch {plain}, with gradient checkpointing {again}",
        ]


def bench(data: Path | None, settings: TrainSettings) -> BenchResult:
    """Measure training, probe, masks, segment and predict on some images of ``data``, or on generated ones.

    Weights are random, which does not change the time. The other steps have their default settings.

    Raises:
        DataError, SettingsError: the data cannot be used.
    """
    count = max(MANY if torch.accelerator.is_available() else FEW, 3 * settings.batch_size * settings.accumulate)
    with tempfile.TemporaryDirectory(prefix="tag2mask-bench-") as place:
        root = Path(place)
        if data is None:
            write_photos(root / "data", count, VOC, VOC_CLASSES)
            return measure_steps(root, settings, IMAGES)
        settings = complete(settings, data)
        dataset = open_dataset(data, settings.data, settings.split)
        samples = [sample for sample in dataset if sample.tags is not None]
        if not samples:
            raise DataError(f"{data}: no image has tags, so there is nothing to train on")
        borrow(root / "data", samples, dataset.classes, count)
        here = DataSettings()
        own = {"labels": here.labels, "classes": here.classes, "masks": here.masks, "cache": None}
        settings = settings.model_copy(update={"data": settings.data.model_copy(update=own)})
        return measure_steps(root, settings, len(samples))


def borrow(root: Path, samples: Sequence[Sample], classes: Classes, count: int) -> None:
    """Write a data folder of ``count`` links to these images, evenly chosen, some of them repeated if there are few."""
    (root / "images").mkdir(parents=True)
    rows = []
    for number in range(count):
        sample = samples[number * len(samples) // count]
        name = f"{number:04}{sample.image.suffix}"
        try:
            (root / "images" / name).symlink_to(sample.image.resolve())
        except OSError:  # a system without links
            shutil.copy(sample.image, root / "images" / name)
        rows.append((name, sample.tags or ()))
    write_tables(root, rows, len(classes), classes.background is not None)


def write_photos(root: Path, count: int, size: tuple[int, int], classes: int) -> None:
    """Write a data folder of smooth random JPEG images with two tags each, and a background."""
    (root / "images").mkdir(parents=True)
    draw, rows = np.random.default_rng(0), []
    for number in range(count):
        colours = Image.fromarray(draw.integers(0, 256, (12, 16, 3), np.uint8))
        colours.resize(size[::-1], Image.Resampling.BICUBIC).save(root / f"images/{number:04}.jpg")
        rows.append((f"{number:04}.jpg", (0, 1)))
    write_tables(root, rows, classes, background=True)


def write_tables(root: Path, rows: Sequence[tuple[str, Sequence[int]]], classes: int, background: bool) -> None:
    """Write the tags of images, and the list of classes, which have numbers for names."""
    names = [*(["background"] if background else []), *map(str, range(classes))]
    (root / "classes.txt").write_text("\n".join(names) + "\n")
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "labels"), *((name, ";".join(map(str, tags))) for name, tags in rows)])


class Stopwatch:
    """The times at which items were done, by the description of the progress bar."""

    def __init__(self) -> None:
        self.moments: dict[str, list[tuple[float, int]]] = {}

    def see(self, description: str, count: int) -> None:
        """Note that items were done."""
        self.moments.setdefault(description, []).append((time.perf_counter(), count))

    def rate(self, description: str, images: int, each: int) -> float:
        """Images per second, after those that came first and also waited for what is only done once.

        There are ``images`` in all, and ``each`` to an item, but for the last.
        """
        (start, first), *_, (end, _) = self.moments[description]
        return (images - first * each) / (end - start)


def measure_steps(root: Path, given: TrainSettings, images: int) -> BenchResult:
    """Run all steps on the folder ``data`` in ``root``; estimate the hours for ``images`` images."""
    folder, run, student = root / "data", root / "run", root / "segmenter"
    alone = {"weights": "none", "split": "train", "val_split": None, "epochs": 1}
    dataset = open_dataset(folder, given.data)
    settings = given.model_copy(update=alone)
    # Random weights are sure of nothing.
    probing = ProbeSettings.parse({"scales": default_scales(given.weights), "sure": 0.01, "margin": 0})
    segmenting = SegmentSettings.parse({"epochs": 1})
    largest = largest_batches(folder, settings, root)
    watch = Stopwatch()
    with watched(watch.see):
        train(folder, run, settings)
        if gets_probe(given):
            train_probe(run, None, probing)
        masks = make_masks(run).path
        segment(run, masks, student, segmenting)
        predict(student, [folder / "images"], root / "predicted", PredictSettings())
    each = {"train": settings.batch_size * settings.accumulate, "segment": segmenting.batch_size}
    training = with_epochs(given, images)
    epochs = {"train": training.epochs, "segment": with_epochs(SegmentSettings(), images).epochs}
    rates = []
    for step in [step for step in STEPS if step in watch.moments]:
        speed, times = watch.rate(step, len(dataset), each.get(step, 1)), epochs.get(step, 1)
        rates.append(Rate(step, speed, times, images * times / speed / 3600))
    height, width = load_image(dataset[0].image, settings.data).shape[1:]
    hard_hours = rates[0].hours * training.more_epochs / training.epochs
    whole = (machine(), images, len(dataset.classes), (height, width), tuple(rates))
    return BenchResult(*whole, hard_hours, largest, round(peak_mib()))


def largest_batches(folder: Path, settings: TrainSettings, out: Path) -> dict[str, int]:
    """How many images fit into the free memory in a training step, without and with gradient checkpointing."""
    images = open_dataset(folder, settings.data)
    accelerator, method, settings, _ = prepare_method(settings, images.classes, "none")
    trainer = Trainer(accelerator, method, Material(images, [], folder), settings, out, Interrupt())
    method.train()
    measure_step(trainer.try_images, 1, method, accelerator.device, False)
    room = USED * free_bytes(accelerator.device) - optimiser_bytes(trainer.optimiser.optimizer, method)
    found = {}
    for name, recompute in (("plain", False), ("gradient_checkpointing", True)):
        found[name] = measure_costs(trainer.try_images, method, accelerator.device, recompute).largest(room)
    return found
