"""Time and memory of class maps: our forward pass with the tap, plain timm, and explicit softmax that keeps all maps.

    python benchmarks/localize.py --image-size 224 --classes 21 --batch-size 8

Every variant runs in its own process, because peak memory is measured per process. Rounds alternate between variants,
so that other load affects all alike. Weights are random, which does not change the arithmetic.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO

import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from tag2mask.vit.tap import Tap
from tag2mask.vit.vit import ViT

VARIANTS = ("timm", "tag2mask", "tag2mask-affinity", "explicit-all-maps")


def build(variant: str, name: str, size: int, classes: int) -> Callable[[Tensor], Tensor]:
    """Return a variant as a function of images; the maps of all layers are summed."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0, img_size=size, dynamic_img_size=True).eval()
    if variant == "timm":
        return model
    vit = ViT(model, classes, registers=1, gated=False).eval()
    layers = frozenset(range(len(vit.blocks)))
    if variant == "explicit-all-maps":
        return lambda images: explicit_maps(vit, images)
    return lambda images: tapped_maps(vit, images, layers, layers if variant.endswith("affinity") else frozenset())


def tapped_maps(vit: ViT, images: Tensor, layers: frozenset[int], affinity: frozenset[int]) -> Tensor:
    """Class maps by the tap."""
    tap = Tap(layers, affinity)
    vit(images, tap)
    return tap.class_maps(layers)


def explicit_maps(vit: ViT, images: Tensor) -> Tensor:
    """Class maps by an explicit softmax, which keeps and stacks every layer's attention, as in released code."""
    kept: list[Tensor] = []
    fused = F.scaled_dot_product_attention

    def spelled_out(q: Tensor, k: Tensor, v: Tensor, **_: object) -> Tensor:
        kept.append((q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1))
        return kept[-1] @ v

    F.scaled_dot_product_attention = spelled_out  # type: ignore[assignment]
    try:
        vit(images)
    finally:
        F.scaled_dot_product_attention = fused
    return torch.stack(kept)[:, :, :, : len(vit.class_CD)].mean(2).sum(0)


def peak_mib() -> float:
    """Peak resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@torch.inference_mode()
def measure(arguments: argparse.Namespace) -> None:
    """Measure one variant: seconds of each round, and peak memory beyond the loaded model and the images."""
    forward = build(arguments.variant, arguments.backbone, arguments.image_size, arguments.classes)
    images = torch.randn(arguments.batch_size, 3, arguments.image_size, arguments.image_size)
    before = peak_mib()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        forward(images)
        print(json.dumps({"seconds": time.perf_counter() - start, "mib": peak_mib() - before}), flush=True)


def main() -> None:
    """Measure all variants, round by round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="vit_small_patch14_dinov2")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--variant", choices=VARIANTS, help="run only this one, once per line on standard input")
    arguments = parser.parse_args()
    if arguments.variant:
        measure(arguments)
        return
    command = [sys.executable, __file__, *sys.argv[1:], "--variant"]
    workers = {
        variant: subprocess.Popen([*command, variant], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for variant in VARIANTS
    }
    pipes = {variant: (require(worker.stdin), require(worker.stdout)) for variant, worker in workers.items()}
    for _, answers in pipes.values():
        answers.readline()
    rows: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(arguments.rounds):
        for variant, (orders, answers) in pipes.items():
            orders.write("go\n")
            orders.flush()
            rows[variant].append(json.loads(answers.readline()))
    for worker in workers.values():
        worker.communicate()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {vars(arguments)}")
    base = min(row["seconds"] for row in rows["timm"])
    timm_mib = rows["timm"][-1]["mib"]
    for variant in VARIANTS:
        best = min(row["seconds"] for row in rows[variant])
        mib = rows[variant][-1]["mib"]
        print(
            f"{variant:18} {best:.3f} s, {best / base:.2f} x timm; peak +{mib:.0f} MiB, {mib - timm_mib:+.0f} vs timm"
        )


def require(pipe: IO[str] | None) -> IO[str]:
    """Return the pipe, which must exist."""
    assert pipe is not None
    return pipe


if __name__ == "__main__":
    main()
