"""Do the maps of the methods as published become better than chance after long training?

    python benchmarks/paper_form.py DATA --weights FILE --out DIR [--variants "A;B"] [--seed 0] [--set KEY=VALUE]...

Each variant trains for 150 epochs at 126 px. Every tenth epoch paints the val split with given tags and is scored. DIR
gets one run per variant, and ``rows.json``, which grows row by row. Run the same command again to resume. ``--set``
takes settings of ``train``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from begun import require_same_arguments
from choice import score_epochs
from tag2mask.files import write_json
from tag2mask.masks.settings import MaskSettings
from tag2mask.stored import read_plain
from tag2mask.training.checkpoint import can_resume
from tag2mask.training.loop import train
from tag2mask.training.settings import TrainSettings

ALL = ["epochs=150", "keep_epochs=10", "backbone.image_size=126"]
PAPER, RELEASED = ["method=tokenmasking"], ["method=tokenmasking-released"]
# The rates of recipes/voc-tokenmasking.yaml and voc-mctformer-v1.yaml, for batches of 8.
SCHEDULE = ["optimiser.warmup=0.05", "optimiser.start=0", "optimiser.final=0", "optimiser.clip=5.0"]
SLOW = ["optimiser.lr_backbone=3e-5", "optimiser.lr_tokens=3e-4", *SCHEDULE]
VARIANTS: dict[str, list[str]] = {
    "paper, our rates": PAPER,
    "paper, the recipe's rates": [*PAPER, *SLOW],
    "paper, masking 0 %": [*PAPER, "method.masking_ratio=0"],
    "paper, masking 100 %": [*PAPER, "method.masking_ratio=1"],
    "released, our rates": RELEASED,
    "released, the recipe's rates": [*RELEASED, *SLOW],
    "mctformer-v1, our rates": ["method=mctformer-v1"],
    "mctformer-v1, the paper's rates": [
        "method=mctformer-v1",
        *("optimiser.lr_backbone=6.25e-5", "optimiser.lr_tokens=6.25e-5", "optimiser.warmup=0.0333333"),
        *("optimiser.start=0.016", "optimiser.final=0.16"),
    ],
}


def main() -> None:
    """Compute the missing rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", default=";".join(VARIANTS), help="semicolon-separated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    require_same_arguments(arguments, "variants")
    path = arguments.out / "rows.json"
    print("| variant | epoch | val AP | mIoU val |\n|---|---|---|---|")
    for variant in arguments.variants.split(";"):
        rows: list[dict[str, Any]] = read_plain(path)["rows"] if path.is_file() else []
        if not any(row["variant"] == variant for row in rows):
            rows += measure(arguments, variant)
            write_json(path, {"rows": rows})
        for row in rows:
            if row["variant"] == variant:
                print(f"| {variant} | {row['epoch']} | {row['val AP']:.3f} | {row['miou']:.1f} |", flush=True)


def measure(arguments: argparse.Namespace, variant: str) -> list[dict[str, Any]]:
    """Train a variant and return a row for each saved epoch."""
    run: Path = arguments.out / f"{variant.replace(' ', '-').replace(',', '').replace('%', '')}{arguments.seed}"
    named = {"weights": arguments.weights, "seed": arguments.seed}
    settings = TrainSettings.read(named, [*ALL, *VARIANTS[variant], *arguments.set])
    train(arguments.data, run, settings, can_resume(run))
    truth = arguments.data / settings.data.masks
    return [
        {"variant": variant, "epoch": epoch, "val AP": ap, "miou": miou}
        for epoch, ap, miou in score_epochs(run, truth, MaskSettings(split="val"))
    ]


if __name__ == "__main__":
    main()
