"""How long the pieces take, against the released algorithms and plain timm: the tables of ``docs/performance.md``.

    python benchmarks/speed.py [CASE ...] [--rounds 9] [--threads 1] [--out speed.json]
    python benchmarks/speed.py --table speed.json ...
    python benchmarks/speed.py --pruning

Variants of a case take turns, each in a process of its own; seconds are the CPU's, ratios are those of one round to
the first variant, and MiB are what the peak rises above what was loaded. ``--out`` keeps everything as JSON with the
machine and the versions. Random weights and images: they do not change the arithmetic.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor

from baselines.attention import keep_all_maps
from baselines.filling import fill_by_queue
from baselines.masking import mask_in_loops
from baselines.pamr import pamr_by_convolutions
from baselines.scoring import iou_by_class, sweep_pass_by_pass
from paired import HEADER, Case, Work, lines, measure, page_lines, serve, summarise
from pieces import MORE, VOC, describe_pruning, new_photos
from tag2mask import make_masks, train
from tag2mask.data import open_dataset
from tag2mask.evaluation.confusion import confusion
from tag2mask.evaluation.sweep import ThresholdSweep
from tag2mask.files import write_json
from tag2mask.masks.localize import Localizer, tensor_batches
from tag2mask.masks.paint import BARE, fill_nearest
from tag2mask.masks.resolve import resolve_masks
from tag2mask.masks.settings import MaskSettings
from tag2mask.measuring import machine
from tag2mask.methods import Ask, Progress
from tag2mask.methods.attended import DynamicAttended
from tag2mask.methods.masking import mask_absent
from tag2mask.refine import crf, pamr
from tag2mask.refine.dense_crf import crf_in_cpp
from tag2mask.refine.settings import CRFSettings
from tag2mask.training.run import open_run
from tag2mask.vit.tap import Tap
from tag2mask.vit.vit import ViT

SMALL, BASE = "vit_small_patch14_dinov2", "vit_base_patch16_224"
IGNORE = 255


def masking(mask: Callable[[Tensor, Tensor, float], Tensor], batch: int, classes: int) -> Work:
    """Forward and backward of the masking alone, 3.5 % of the tags present."""
    tokens, tags = torch.randn(batch, classes, 768, requires_grad=True), (torch.rand(batch, classes) < 0.035).float()

    def work() -> None:
        torch.autograd.backward(mask(tokens, tags, 0.5).sum())

    return work


def filling(by_queue: bool) -> Work:
    """An image of which half is bare, in blotches."""
    labels = np.kron(np.random.default_rng(0).integers(0, 6, (24, 32)), np.ones((16, 16), int))[: VOC[0], : VOC[1]]
    labels[labels < 3] = BARE
    return partial(fill_by_queue, labels, BARE) if by_queue else partial(fill_nearest, labels)


def localizing(variant: str, name: str, size: int, batch: int, classes: int) -> Work:
    """One forward pass: class maps of the default method or of all layers, or a plain one, also of as many tokens."""
    torch.manual_seed(0)
    registers = classes if variant == "timm with as many tokens" else 0
    model = timm.create_model(name, num_classes=0, img_size=size, dynamic_img_size=True, reg_tokens=registers).eval()
    images = torch.randn(batch, 3, size, size)
    if variant.startswith("timm"):
        return torch.inference_mode()(partial(model, images))
    if variant == "tag2mask":
        return torch.inference_mode()(partial(DynamicAttended(model, classes).eval(), images, ask=Ask(maps=True)))
    vit = ViT(model, classes, registers=1, gated=False).eval()
    layers = frozenset(range(len(vit.blocks)))

    @torch.inference_mode()
    def work() -> Tensor:
        if variant == "all maps kept":
            return keep_all_maps(vit, images)
        tap = Tap(layers)
        vit(images, tap)
        return tap.class_maps(layers)

    return work


def training(ours: bool, classes: int) -> Work:
    """A step of AdamW on 8 images: our default method, or timm's model with as many tokens more and a linear head."""
    torch.manual_seed(0)
    images, tags = torch.randn(8, 3, 224, 224), (torch.rand(8, classes) < 0.1).float()
    if ours:
        method = DynamicAttended(timm.create_model(SMALL, img_size=224, dynamic_img_size=True), classes=classes).train()
        return stepping(method, lambda: sum_of(method.loss(method(images, tags), tags, Progress(0, 1, 0, 1))))
    model = timm.create_model(SMALL, img_size=224, num_classes=classes, reg_tokens=classes, global_pool="avg").train()
    return stepping(model, lambda: torch.nn.functional.binary_cross_entropy_with_logits(model(images), tags))


def stepping(module: torch.nn.Module, loss: Callable[[], Tensor]) -> Work:
    """One step of an optimiser on a loss."""
    optimiser = torch.optim.AdamW(module.parameters(), 1e-5, fused=True)

    def work() -> None:
        optimiser.zero_grad()
        torch.autograd.backward(loss())
        optimiser.step()

    return work


def sum_of(terms: dict[str, Tensor]) -> Tensor:
    """The loss that is minimised."""
    return torch.stack(list(terms.values())).sum()


def sweeping(in_one_pass: bool, images: int = 12) -> Work:
    """60 thresholds over best maps of VOC's size and 21 classes."""
    draw = np.random.default_rng(0)
    best = [draw.random(VOC, np.float32) for _ in range(images)]
    values = [draw.integers(1, 21, VOC) for _ in range(images)]
    truths = [draw.integers(0, 21, VOC) for _ in range(images)]
    if not in_one_pass:
        return partial(sweep_pass_by_pass, best, values, truths, 21, [n / 60 for n in range(60)], IGNORE)

    def work() -> None:
        sweep = ThresholdSweep(21, IGNORE)
        for each in zip(best, values, truths, strict=True):
            sweep.add(*each)
        sweep.miou()

    return work


def scoring(by_class: bool, images: int = 12) -> Work:
    """Counts of masks of VOC's size and 21 classes."""
    draw = np.random.default_rng(0)
    masks, truths = ([draw.integers(0, 21, VOC).astype(np.uint8) for _ in range(images)] for _ in range(2))
    if by_class:
        return partial(iou_by_class, truths, masks, 21, IGNORE)
    return lambda: sum(confusion(truth, mask, 21, IGNORE) for truth, mask in zip(truths, masks, strict=True))


def refining(refine: Callable[[Tensor, Tensor], Tensor], classes: int) -> Work:
    """Smooth scores of an image of VOC's size."""
    torch.manual_seed(0)
    image, scores = (
        torch.nn.functional.interpolate(torch.rand(1, n, 24, 32), VOC, mode="bilinear")[0] for n in (3, classes)
    )
    image = (image + 0.05 * torch.randn_like(image)).clamp(0, 1)
    return torch.inference_mode()(partial(refine, image, scores))


def with_crf(engine: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The CRF with its default constants."""
    return lambda image, scores: engine(image, scores, CRFSettings())


def painting(whole: bool, images: int = 12) -> Work:
    """``masks`` of JPEG images of VOC's size by ViT-S/14 at 224 px: all of it, or its forward passes alone."""
    data = new_photos(images)
    folder = data.parent
    train(data, folder / "run", weights="none", epochs=1, val_split=None, precision="fp32", probe=False)
    if whole:
        numbers = itertools.count()
        return lambda: make_masks(folder / "run", out=folder / f"masks-{next(numbers)}")
    run = open_run(folder / "run")
    localizer = Localizer(run, resolve_masks(MaskSettings(), run))
    batches = list(tensor_batches(list(open_dataset(data, run.settings.data)), run.settings.data, 8, {}))
    return lambda: [localizer.localize(batch) for batch in batches]


def maps_by(*variants: str, given: tuple[str, int, int, int]) -> dict[str, Callable[[], Work]]:
    """Forward passes of a model on images of a size, by their number and that of the classes."""
    return {variant: partial(localizing, variant, *given) for variant in variants}


CASES = {
    "masking": Case(
        "token masking, forward and backward, B = 32, C = 81, D = 768",
        {"tag2mask": partial(masking, mask_absent, 32, 81), "double loop": partial(masking, mask_in_loops, 32, 81)},
        target=20,
    ),
    "fill": Case(
        "nearest fill, 375 x 500 px, half bare",
        {"tag2mask": partial(filling, False), "queue": partial(filling, True)},
        target=25,
    ),
    "localize-512": Case(
        "class maps, ViT-B/16, one image of 512 px, C = 20",
        maps_by("all layers", "all maps kept", given=(BASE, 512, 1, 20)),
        target=2,
    ),
    "localize-224": Case(
        "class maps, ViT-B/16, 8 images of 224 px, C = 20",
        maps_by("tag2mask", "all layers", "timm with as many tokens", "timm", given=(BASE, 224, 8, 20)),
        target=1.10,
        at_most=True,
    ),
    "step": Case(
        "training step, ViT-S/14, 8 images of 224 px, C = 20, fp32",
        {"tag2mask": partial(training, True, 20), "timm": partial(training, False, 20)},
        target=1.10,
        at_most=True,
    ),
    "masks": Case(
        "masks of 12 JPEG images of 375 x 500 px, ViT-S/14 at 224 px: all of it against its forward passes",
        {"tag2mask masks": partial(painting, True), "forward alone": partial(painting, False)},
        target=1.25,
        at_most=True,
        clock="wall",
    ),
    "sweep": Case(
        "60 thresholds over 12 masks of 375 x 500 px",
        {"tag2mask": partial(sweeping, True), "pass by pass": partial(sweeping, False)},
        target=20,
    ),
    "evaluate": Case(
        "counts of 12 masks of 375 x 500 px, 21 classes",
        {"tag2mask": partial(scoring, False), "class by class": partial(scoring, True)},
    ),
    "pamr": Case(
        "PAMR, 375 x 500 px, 3 classes",
        {"tag2mask": partial(refining, pamr, 3), "convolutions": partial(refining, pamr_by_convolutions, 3)},
    ),
    **{
        f"crf-{classes}": Case(
            f"CRF, 375 x 500 px, {classes} classes, 5 rounds",
            {
                "tag2mask": partial(refining, with_crf(crf), classes),
                "pydensecrf2": partial(refining, with_crf(crf_in_cpp), classes),
            },
            target=1.0,
        )
        for classes in (3, 21)
    },
    **MORE,
}


def main() -> None:
    """Measure the cases asked for, all of them unless any is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path, nargs="+", help="print the page's table of these files")
    parser.add_argument("--pruning", action="store_true", help="count parameters and operations of the case pruned")
    parser.add_argument("--variant", help="serve only this variant: one round per line on standard input")
    arguments = parser.parse_args()
    if arguments.pruning:
        print(json.dumps(describe_pruning(), indent=2))
        return
    if arguments.table:
        rows = [row for path in arguments.table for row in json.loads(path.read_text())["cases"].values()]
        print("\n".join([HEADER, *(line for row in rows for line in page_lines(row))]))
        return
    torch.set_num_threads(arguments.threads)
    if unknown := set(arguments.cases) - CASES.keys():
        parser.error(f"{', '.join(unknown)}: there are {', '.join(CASES)}")
    if arguments.variant:
        serve(CASES[arguments.cases[0]].variants[arguments.variant])
        return
    found: dict[str, Any] = {"machine": machine(), "rounds": arguments.rounds, "cases": {}}
    print("| case | variant | clock | s | from, to | MiB | ratio to ours |\n" + "|---" * 7 + "|", flush=True)
    for name in arguments.cases or CASES:
        case = CASES[name]
        command = [sys.executable, __file__, name, "--threads", str(arguments.threads), "--variant"]
        found["cases"][name] = summarise(case, measure(command, list(case.variants), arguments.rounds))
        print("\n".join(lines(name, found["cases"][name])), flush=True)
        if arguments.out:
            write_json(arguments.out, found)
    if not arguments.out:
        print(json.dumps(found["machine"]))


if __name__ == "__main__":
    main()
