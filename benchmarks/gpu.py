"""Images per second and memory of train, localize and segment on a GPU: JSON, and a table for ``docs/performance.md``.

    python benchmarks/gpu.py --out gpu.json [--seconds 420] [--batch 32]
    python benchmarks/gpu.py --tiny

ViT-S/16 and ViT-B/16 at 224 and 448 px, for 20, 80 and 1,000 classes: the default method, AdamW, in the
precision that ``auto`` chooses; localize in float32, as ``masks`` does; segment with as many pixel classes and a
background. Random weights and images. A batch that does not fit is halved. After ``--seconds``, what is missing is left
out, and the table says so. ``--tiny`` proves on a CPU that all of it works; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate.utils.memory import clear_device_cache
from torch import Tensor, nn

from speed import sum_of
from tag2mask.files import write_json
from tag2mask.measuring import machine, peak_mib
from tag2mask.methods import Ask, Progress, build_method
from tag2mask.methods.base import unnamed_classes
from tag2mask.segmentation.model import ViTSegmenter
from tag2mask.tensors import inference_device
from tag2mask.training.parts import out_of_memory
from tag2mask.training.settings import TrainSettings
from tag2mask.training.start import mixed_precision
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.weights import build_backbone

MODELS = {"ViT-S/16": "vit_small_patch16_224", "ViT-B/16": "vit_base_patch16_224"}
WARM_UP, LONGEST = 3, 2.0  # calls; seconds of calls that are counted
TINY: dict[str, Any] = {"patch": 8, "width": 48, "depth": 3, "heads": 3}
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Row:
    """A measurement: ``images`` at once, images per second, and MiB at the peak."""

    model: str
    size: int
    classes: int
    step: str
    images: int
    per_second: float
    mib: float


def precise(device: torch.device) -> Any:
    """The precision of a training whose settings leave it open."""
    chosen = mixed_precision("auto")
    return torch.autocast(device.type, AUTOCAST[chosen]) if chosen in AUTOCAST else nullcontext()


def training(backbone: BackboneSettings, classes: int, images: Tensor) -> Callable[[], object]:
    """A step of the default method."""
    name = TrainSettings().method
    method = build_method(name, unnamed_classes(classes), backbone, {}, "none")[0].to(images.device).train()
    tags = torch.zeros(len(images), classes, device=images.device)
    tags[:, :2] = 1

    def loss() -> Tensor:
        return sum_of(method.loss(method(images, tags), tags, Progress(0, 1, 0, 1)))

    return stepping(method, loss)


def segmenting(backbone: BackboneSettings, classes: int, images: Tensor) -> Callable[[], object]:
    """A step of our segmenter on random labels."""
    segmenter = ViTSegmenter(build_backbone(backbone, "none")[0], classes + 1).to(images.device).train()
    labels = torch.randint(classes + 1, (len(images), *images.shape[2:]), device=images.device)
    return stepping(segmenter, lambda: F.cross_entropy(segmenter(images).float(), labels))


def stepping(module: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], object]:
    """A step of AdamW in the precision of trainings, with fp16's loss scaling if it needs that."""
    device = next(module.parameters()).device
    optimiser = torch.optim.AdamW(module.parameters(), 1e-5, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=mixed_precision("auto") == "fp16")

    def work() -> None:
        with precise(device):
            total = loss()
        torch.autograd.backward(scaler.scale(total))
        scaler.step(optimiser)
        scaler.update()
        optimiser.zero_grad()

    return work


def localizing(backbone: BackboneSettings, classes: int, images: Tensor) -> Callable[[], object]:
    """Class maps of the default method."""
    name = TrainSettings().method
    method = build_method(name, unnamed_classes(classes), backbone, {}, "none")[0].to(images.device).eval()
    return torch.inference_mode()(partial(method, images, ask=Ask(maps=True)))


STEPS = {"train": training, "localize": localizing, "segment": segmenting}


def measured(make: Callable[[Tensor], Callable[[], object]], size: int, batch: int) -> tuple[int, float, float]:
    """Images at once, images per second, and MiB at the peak; half as many images as long as memory runs out."""
    device = inference_device()
    while True:
        try:
            work = make(torch.randn(batch, 3, size, size, device=device))
            if device.type == "cuda":
                torch.accelerator.reset_peak_memory_stats(device)
            for _ in range(WARM_UP):
                work()
            calls, seconds = 0, 0.0
            wait(device)
            start = time.perf_counter()
            while seconds < LONGEST and calls < 100:
                work()
                wait(device)
                calls, seconds = calls + 1, time.perf_counter() - start
            peak = torch.accelerator.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_mib()
            return batch, batch * calls / seconds, peak
        except RuntimeError as error:
            if not out_of_memory(error) or batch == 1:
                raise
        clear_device_cache(garbage_collection=True)
        batch //= 2


def wait(device: torch.device) -> None:
    """Wait until the device has done its work."""
    if device.type == "cuda":
        torch.accelerator.synchronize(device)


def rows(tiny: bool, batch: int, deadline: float) -> Iterator[Row | None]:
    """Measure everything, the smallest first; None for what is left out."""
    models = {"tiny": "vit_small_patch16_224"} if tiny else MODELS
    sizes, counts = ((32, 64), (3, 120)) if tiny else ((224, 448), (20, 80, 1000))
    for size, model, classes, step in product(sizes, models, counts, STEPS):
        if time.monotonic() > deadline:
            yield None
            continue
        backbone = BackboneSettings.parse({"name": models[model], "image_size": size, **(TINY if tiny else {})})
        make = partial(STEPS[step], backbone, classes)
        images, per_second, mib = measured(make, size, 2 if tiny else max(batch // (4 if step == "segment" else 1), 1))
        clear_device_cache(garbage_collection=True)
        yield Row(model, size, classes, step, images, per_second, mib)


def table(found: list[Row], missing: int, about: dict[str, Any]) -> str:
    """The rows in Markdown, with the device, the versions and the date."""
    where = f"{about['gpu'] or about['cpu']}, {about['date']}, torch {about['torch']}, {about['precision']}"
    left = f" {missing} measurements were left out for lack of time." if missing else ""
    lines = [f"{where}, AdamW.{left}", "", "| model | px | classes | step | batch | images/s | MiB |", "|---" * 7 + "|"]
    for row in found:
        cells = [row.model, row.size, row.classes, row.step, row.images, f"{row.per_second:.4g}", f"{row.mib:.0f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and keep everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file; the table is written beside it, as .md")
    parser.add_argument("--seconds", type=float, default=420, help="after which no other measurement is begun")
    parser.add_argument("--batch", type=int, default=32, help="images at once; segment takes a quarter")
    parser.add_argument("--tiny", action="store_true", help="a proof that it works, on any device")
    arguments = parser.parse_args()
    if not arguments.tiny and not torch.cuda.is_available():
        parser.error("there is no GPU that torch can use; --tiny proves on a CPU that this works")
    about = {
        **machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "precision": {"no": "fp32"}.get(mixed_precision("auto"), mixed_precision("auto")),
    }
    found: list[Row] = []
    missing = 0
    for row in rows(arguments.tiny, arguments.batch, time.monotonic() + arguments.seconds):
        if row is None:
            missing += 1
            continue
        found.append(row)
        if arguments.out:  # after each, so that a stop loses nothing
            write_json(arguments.out, {"machine": about, "rows": [asdict(one) for one in found], "missing": missing})
            arguments.out.with_suffix(".md").write_text(table(found, missing, about) + "\n")
    print(table(found, missing, about))


if __name__ == "__main__":
    main()
