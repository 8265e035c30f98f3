"""Compare the epoch chosen by tags with the one that truth would choose.

    tag2mask train DATA --out RUN --set keep_epochs=1
    python benchmarks/choice.py RUN --truth DIR [--split train] [--set KEY=VALUE]...

Paints the split, with given tags, with the weights of every saved epoch, and prints validation AP and mIoU. ``--set``
takes settings of ``masks``.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tag2mask.evaluation.evaluate import evaluate
from tag2mask.masks.settings import MaskSettings
from tag2mask.painting.make import make_masks
from tag2mask.training import run as layout


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    settings = MaskSettings.read({"split": arguments.split}, arguments.set)
    rows = []
    print("| epoch | val AP | mIoU |\n|---|---|---|")
    for row in score_epochs(arguments.run, arguments.truth, settings):
        rows.append(row)
        print(f"| {row[0]} | {row[1]:.3f} | {row[2]:.1f} |", flush=True)
    by_tags, by_truth = max(rows, key=lambda row: row[1]), max(rows, key=lambda row: row[2])
    print(
        f"best by tags: epoch {by_tags[0]}, mIoU {by_tags[2]:.1f}; best by truth: epoch {by_truth[0]}, "
        f"mIoU {by_truth[2]:.1f}"
    )


def score_epochs(run: Path, truth: Path, settings: MaskSettings) -> Iterator[tuple[int, float, float]]:
    """Yield each epoch whose weights ``run`` saved, its validation AP, and the mIoU of masks painted with them."""
    for row in layout.open_run(run).metrics():
        if (run / layout.epoch_model(row["epoch"])).is_file():
            yield row["epoch"], row["val_ap"], score_epoch(run, row["epoch"], truth, settings)


def score_epoch(run: Path, epoch: int, truth: Path, settings: MaskSettings) -> float:
    """Return the mIoU of masks painted with an epoch's weights."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder) / "run"
        at.mkdir()
        for name in (layout.CONFIG, layout.CLASSES):
            (at / name).symlink_to((run / name).resolve())
        (at / layout.MODEL).symlink_to((run / layout.epoch_model(epoch)).resolve())
        make_masks(at, out=at / "masks", settings=settings)
        miou: float = evaluate(at / "masks", truth).to_json()["miou"]
    return miou


if __name__ == "__main__":
    main()
