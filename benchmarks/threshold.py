"""Background thresholds chosen without truth, compared with the best one by truth.

    python benchmarks/threshold.py RUN --truth DIR [--split val] [--kinds 0.1,otsu,agreement] [--set KEY=VALUE]...

Paints the split, with given tags, with every kind of threshold, and prints the threshold and the mIoU. ``--set`` takes
settings of ``masks``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tag2mask.evaluation.evaluate import evaluate
from tag2mask.evaluation.sweep import tune_background
from tag2mask.masks.settings import MaskSettings, with_paint
from tag2mask.masks.write import open_mask_set
from tag2mask.notation import from_word
from tag2mask.painting.make import make_masks


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--kinds", default="0.05,0.1,0.2,mean,otsu,agreement", help="comma-separated")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    settings = MaskSettings.read({"split": arguments.split}, arguments.set)
    print("| threshold | value | mIoU |\n|---|---|---|")
    for kind in arguments.kinds.split(","):
        background = settings.paint.background.model_copy(update={"value": from_word(kind)})
        report(arguments, kind, with_paint(settings, background=background))
    tuned = tune_background(arguments.run, None, settings, arguments.split)
    report(arguments, "best by truth", tuned.settings)


def report(arguments: argparse.Namespace, name: str, settings: MaskSettings) -> None:
    """Paint, score, and print a row."""
    with tempfile.TemporaryDirectory() as folder:
        masks = make_masks(arguments.run, out=Path(folder) / "masks", settings=settings).path
        value = open_mask_set(masks).manifest["settings"]["paint"]["background"]["value"]
        print(f"| {name} | {value} | {evaluate(masks, arguments.truth).to_json()['miou']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
