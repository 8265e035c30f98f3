"""Methods on generated land-cover images with 13 bands and known truth: train on tags, paint and score.

    python benchmarks/landcover.py OUT [--methods attended,tscam,linear] [--train 400] [--side 64] [--seed 0]
                                   [--scale range|maximum] [--weights FILE] [--set KEY=VALUE]...

By default, a tiny ViT is trained from scratch; with ``--weights`` (a ViT-S/14), the patch embedding is adapted to 13
bands. Prints the mIoU of masks painted with given tags, and with predicted tags on val, each next to chance.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from tag2mask.evaluation.evaluate import evaluate
from tag2mask.masks.settings import MaskSettings
from tag2mask.painting.make import make_masks
from tag2mask.synthetic.landcover import write_landcover
from tag2mask.training.loop import train
from tag2mask.training.settings import TrainSettings

SCRATCH: dict[str, Any] = {
    "backbone.name": "eva02_tiny_patch14_224",
    "backbone.patch": 4,
    "backbone.width": 96,
    "backbone.depth": 3,
    "backbone.heads": 3,
    "backbone.drop_path": 0.0,
    "optimiser.lr_backbone": 1e-3,
}
PRETRAINED: dict[str, Any] = {"backbone.name": "vit_small_patch14_dinov2", "backbone.image_size": 112}
COMMON: dict[str, Any] = {"precision": "fp32", "epochs": 10, "batch_size": 16, "augment.colour": 0.0}
PAINTED = (("train", "given"), ("val", "given"), ("val", "predicted"))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--methods", default="attended,tscam,linear", help="comma-separated")
    parser.add_argument("--train", type=int, default=400, help="training tiles; val has a quarter as many")
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", default="range", help="of the raw values, as in dataset.yaml: range or maximum")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    data = arguments.out / "data"
    counts = {"train": arguments.train, "val": arguments.train // 4}
    write_landcover(data, counts, arguments.side, arguments.seed, arguments.scale)
    print("| method | train, tags given | val, tags given | val, tags predicted | val AP | seconds |")
    print("|---|---|---|---|---|---|", flush=True)
    for method in arguments.methods.split(","):
        print(row(arguments, data, method), flush=True)


def row(arguments: argparse.Namespace, data: Path, method: str) -> str:
    """Train, paint and score one method; chance is in parentheses."""
    named = COMMON | (SCRATCH | {"backbone.image_size": arguments.side} if arguments.weights == "none" else PRETRAINED)
    named |= {"method": method, "weights": arguments.weights, "seed": arguments.seed}
    clock = time.monotonic()
    result = train(data, arguments.out / method, TrainSettings.read(named, arguments.set))
    seconds = time.monotonic() - clock
    cells = []
    for split, tags in PAINTED:
        settings = MaskSettings.read({"split": split, "tags": tags})
        out = arguments.out / f"{method}-{split}-{tags}"
        scores = evaluate(make_masks(result.run, out=out, settings=settings).path, data / "masks").to_json()
        cells.append(f"{scores['miou']:.1f} ({scores['random_miou']:.1f})")
    return f"| `{method}` | {' | '.join(cells)} | {result.best_ap or 0:.3f} | {seconds:.0f} |"


if __name__ == "__main__":
    main()
