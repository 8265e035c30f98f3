"""A thousand classes: tokens for likely classes alone, on generated textures with known truth.

    python benchmarks/many.py OUT [--classes 1000] [--train 12000] [--epochs 6] [--seed 0] [--set KEY=VALUE]...
    python benchmarks/many.py --cost [--classes 20 1000 10000]

Trains a small ViT from scratch and prints the mIoU of masks with given and with predicted tags, each beside chance.
``--cost`` takes training steps of ViT-S/14 on 8 images of 224 px, each in a process of its own: CPU seconds and MiB.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch

from paired import Case, Work, lines, measure, serve, summarise
from speed import stepping, sum_of
from tag2mask.evaluation.evaluate import evaluate
from tag2mask.masks.settings import MaskSettings
from tag2mask.methods import Progress
from tag2mask.methods.attended import Attended, DynamicAttended
from tag2mask.painting.make import make_masks
from tag2mask.synthetic.textures import write_textures
from tag2mask.training.checkpoint import can_resume
from tag2mask.training.loop import train
from tag2mask.training.settings import TrainSettings

SETTINGS: dict[str, Any] = {
    "backbone.name": "eva02_tiny_patch14_224",
    "backbone.image_size": 64,
    "backbone.patch": 8,
    "backbone.width": 144,
    "backbone.depth": 4,
    "backbone.heads": 3,
    "backbone.drop_path": 0.0,
    "optimiser.lr_backbone": 1e-3,
    "augment.min_scale": 1.0,
    "augment.colour": 0.0,
    "augment.flip": 0.0,
    "batch_size": 32,
    "weights": "none",
    "precision": "fp32",
    "method": "attended-dynamic",
    "method_settings": {"attended_layers": 2, "sampled": 160},
}


def main() -> None:
    """Train, paint and score; or measure steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--classes", type=int, nargs="+", default=[1000])
    parser.add_argument("--train", type=int, default=12000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--variant", help="serve only this step: one round per line on standard input")
    arguments = parser.parse_args()
    if arguments.variant or arguments.cost:
        cost(arguments)
        return
    if arguments.out is None:
        parser.error("give a folder OUT, or --cost")
    data, run, start = arguments.out / "data", arguments.out / f"run-{arguments.seed}", time.process_time()
    if not (data / "labels.csv").is_file():
        write_textures(data, {"train": arguments.train, "val": 500}, arguments.classes[0], seed=0)
    chosen = {**SETTINGS, "epochs": arguments.epochs, "seed": arguments.seed}
    result = train(data, run, TrainSettings.read(chosen, arguments.set), can_resume(run))
    print(f"{result.shown()[0]}; {time.process_time() - start:.0f} s of CPU")
    for tags in ("given", "predicted"):
        made = make_masks(run, None, run / f"masks-{tags}", MaskSettings.parse({"split": "val", "tags": tags}))
        scores = evaluate(made.path, data / "masks")
        print(f"val, tags {tags}: mIoU {scores.miou:.1f}, at random {scores.random_miou:.1f}", flush=True)


def cost(arguments: argparse.Namespace) -> None:
    """A training step by the number of classes; the plain form with 20 classes is the measure."""
    steps = {"attended-20": partial(step, Attended, 20)}
    steps |= {f"attended-dynamic-{count}": partial(step, DynamicAttended, count) for count in arguments.classes}
    torch.set_num_threads(1)
    if arguments.variant:
        serve(steps[arguments.variant])
        return
    counts = [str(count) for count in arguments.classes]
    command = [sys.executable, __file__, "--classes", *counts, "--variant"]
    case = Case("a training step, ViT-S/14, 8 images of 224 px", steps)
    print("\n".join(lines("step", summarise(case, measure(command, list(steps), arguments.rounds)))))


def step(build: type[Attended | DynamicAttended], classes: int) -> Work:
    """A step of AdamW with two tags for each image."""
    torch.manual_seed(0)
    model = timm.create_model("vit_small_patch14_dinov2", img_size=224, dynamic_img_size=True)
    method = build(model, classes).train()
    images, tags = torch.randn(8, 3, 224, 224), torch.zeros(8, classes)
    tags[torch.arange(8)[:, None], torch.randint(0, classes, (8, 2))] = 1
    return stepping(method, lambda: sum_of(method.loss(method(images, tags), tags, Progress(0, 1, 0, 1))))


if __name__ == "__main__":
    main()
