"""Throughput of the loader by image size, workers and cache, compared with the training step that it feeds.

    python benchmarks/loader.py [--images 24] [--reads 240] [--steps 3] [--threads N]

Writes JPEGs of two sizes into a temporary folder, reads them as ``tag2mask train`` does (decode, crop to 224 px, jitter
colours, normalise), and runs forward and backward steps of ``attended`` on ViT-S/14 with 8 images each. The
columns give images per second of wall-clock time, images per second of CPU time (workers included), and the CPU time of
reading divided by that of the step, which hardly changes on a busy machine. Large images are read once each. Small
images and cached copies are read repeatedly, ``--reads`` times in total, because the start of the workers counts too.
Rows marked ``first`` include making the cached copies.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from tag2mask.data import Classes, DataSettings, open_dataset
from tag2mask.data.loading import TaggedImages
from tag2mask.data.settings import AugmentSettings
from tag2mask.data.transforms import train_transform
from tag2mask.methods import Method, Progress, build_method
from tag2mask.training.start import mixed_precision
from tag2mask.vit.settings import BackboneSettings

BACKBONE = BackboneSettings()
BATCH, SIDE = 8, 448
NAMES = tuple(f"class {number}" for number in range(20))
SIZES = ((500, 375), (4000, 3000))  # width, height


@dataclass
class Rate:
    """Seconds per image, in wall-clock and CPU time."""

    clock: float
    cpu: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--reads", type=int, default=240)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    load, cores = os.getloadavg()[0], os.cpu_count()
    print(f"{cores} cores, initial load {load:.1f}, {arguments.threads} threads, batches of {BATCH}\n")
    step = step_rate(arguments.steps)
    print("| images | cache | workers | images / s | images / s of CPU | CPU of reading / of the step |")
    print("|---|---|---|---|---|---|")
    show("the training step", "", "", step, step)
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            write_images(Path(folder), size, arguments.images)
            for cache, first, workers in rows(size):
                once = first or (cache is None and min(size) > SIDE)
                rate = loader_rate(Path(folder), cache, workers, arguments.images if once else arguments.reads)
                show(f"{size[0]} x {size[1]}", f"{cache or ''}{', first' * first}", str(workers), rate, step)


def rows(size: tuple[int, int]) -> Iterator[tuple[int | None, bool, int]]:
    """Yield cache, whether it is being filled, and workers for a size; only larger images are cached."""
    for cache in (None, SIDE) if min(size) > SIDE else (None,):
        if cache is not None:
            yield cache, True, 0
        for workers in (0, 1, 2):
            yield cache, False, workers


def show(what: str, cache: str, workers: str, rate: Rate, step: Rate) -> None:
    """Print a row of the table."""
    print(f"| {what} | {cache} | {workers} | {1 / rate.clock:.1f} | {1 / rate.cpu:.1f} | {rate.cpu / step.cpu:.2f} |")


def write_images(root: Path, size: tuple[int, int], count: int) -> None:
    """Write JPEGs of smooth shapes with some noise, about as large as a camera's; one tag each."""
    chance = np.random.default_rng(0)
    (root / "images").mkdir()
    (root / "classes.txt").write_text("\n".join(NAMES) + "\n")
    grain = chance.normal(0, 4, (size[1], size[0], 1)).astype(np.float32)
    for number in range(count):
        small = Image.fromarray(chance.integers(0, 256, (12, 16, 3), np.uint8))
        smooth = np.asarray(small.resize(size, Image.Resampling.BICUBIC), np.float32)
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(root / f"images/{number}.jpg", quality=90)
    (root / "labels.csv").write_text(
        "image,labels\n" + "".join(f"{i}.jpg,{NAMES[i % len(NAMES)]}\n" for i in range(count))
    )


def loader_rate(root: Path, cache: int | None, workers: int, reads: int) -> Rate:
    """Time ``reads`` images in sequence, including the start of the workers."""
    settings = DataSettings(cache=cache)
    transform = train_transform(BACKBONE.image_size, (0.5,) * 3, (0.25,) * 3, AugmentSettings())
    images = TaggedImages(root, open_dataset(root, settings), settings, transform)
    keys = [(read, read % len(images)) for read in range(reads)]
    batches = [keys[first : first + BATCH] for first in range(0, reads, BATCH)]
    loader = DataLoader(images, batch_sampler=batches, num_workers=workers)
    with timed(reads) as rate:
        for _ in loader:
            pass
    return rate


def step_rate(steps: int) -> Rate:
    """Time forward and backward of ``attended``, in precision ``auto``, after one warm-up step."""
    method, _ = build_method("attended", Classes(NAMES), BACKBONE, {}, "none")
    images, tags = torch.rand(BATCH, 3, 224, 224), torch.eye(len(NAMES))[:BATCH]
    learn(method, images, tags)
    with timed(steps * BATCH) as rate:
        for _ in range(steps):
            learn(method, images, tags)
    return rate


def learn(method: Method, images: Tensor, tags: Tensor) -> None:
    """Run forward and backward, without the optimiser."""
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed_precision("auto") == "bf16"):
        terms = method.loss(method(images, tags), tags, Progress(step=0, steps=1, epoch=0, epochs=1))
    torch.autograd.backward(torch.stack(list(terms.values())).sum())


@contextmanager
def timed(count: int) -> Iterator[Rate]:
    """Measure the time per image over ``count`` images; the rate is filled in at the end."""
    rate = Rate(time.perf_counter(), cpu_seconds())
    yield rate
    rate.clock = (time.perf_counter() - rate.clock) / count
    rate.cpu = (cpu_seconds() - rate.cpu) / count


def cpu_seconds() -> float:
    """CPU time of this process and its finished workers."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
