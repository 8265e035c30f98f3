"""Weak and full supervision: segmenters trained on masks from tags, and on true masks.

    python benchmarks/segmenter.py RUN... --truth DIR --out DIR [--mask KEY=VALUE]... [--segment KEY=VALUE]...

Each RUN is a tagged run, whose seed its segmenters use. They learn the run's masks of split train (given tags). On val,
the run's own masks (predicted tags) are compared with those of the segmenters, which see only the image. Truth is used
for scoring, and only the reference learns it. Run the same command again to resume; finished parts are not repeated.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from tag2mask.evaluation.evaluate import evaluate
from tag2mask.files import write_json
from tag2mask.masks.settings import MaskSettings
from tag2mask.painting.make import make_masks
from tag2mask.prediction.predict import predict
from tag2mask.prediction.settings import PredictSettings
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import segment
from tag2mask.training.checkpoint import can_resume
from tag2mask.training.run import open_run

COLUMNS = ("masks, train", "own masks, val", "weak, val", "full, val", "weak / full")


class Trial:
    """One run, and everything made from it."""

    def __init__(self, run: Path, arguments: argparse.Namespace) -> None:
        self.run, self.arguments = run, arguments
        self.seed = open_run(run).settings.seed

    def painted(self, name: str, split: str, tags: str) -> Path:
        """Paint masks with the run itself."""
        out: Path = self.arguments.out / f"{name}-{self.seed}"
        settings = MaskSettings.read({"split": split, "tags": tags}, self.arguments.mask)
        make_masks(self.run, out=out, settings=settings)
        return out

    def segmented(self, name: str, masks: Path | None) -> Path:
        """Train a segmenter and predict masks for val; without ``masks`` it is fully supervised."""
        out: Path = self.arguments.out / f"{name}-{self.seed}"
        settings = SegmentSettings.read({"seed": self.seed}, self.arguments.segment)
        segment(self.run, masks, out, settings, self.arguments.truth, masks is None, can_resume(out))
        predict(out, [], out.with_name(f"{out.name}-val"), PredictSettings(), "val")
        return out.with_name(f"{out.name}-val")

    def row(self) -> dict[str, float]:
        """Return the scores in percent."""
        masks = self.painted("masks", "train", "given")
        sets = [masks, self.painted("own", "val", "predicted"), self.segmented("weak", masks)]
        sets.append(self.segmented("full", None))
        scores = [evaluate(path, self.arguments.truth).to_json()["miou"] for path in sets]
        return dict(zip(COLUMNS, [*scores, 100 * scores[2] / scores[3]], strict=True))


def main() -> None:
    """Print the table, one row per seed as soon as it is finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mask", action="append", default=[])
    parser.add_argument("--segment", action="append", default=[])
    arguments = parser.parse_args()
    print("| seed | " + " | ".join(COLUMNS) + " |\n" + "|---" * (1 + len(COLUMNS)) + "|")
    rows: dict[str, dict[str, float]] = {}
    for run in arguments.runs:
        trial = Trial(run, arguments)
        rows[str(trial.seed)] = row = trial.row()
        print(f"| {trial.seed} | " + " | ".join(f"{value:.1f}" for value in row.values()) + " |", flush=True)
        write_json(arguments.out / "rows.json", rows)
    if len(rows) > 1:
        columns = [[row[column] for row in rows.values()] for column in COLUMNS]
        means = (f"{statistics.mean(column):.1f} ± {statistics.stdev(column):.1f}" for column in columns)
        print("| mean | " + " | ".join(means) + " |")


if __name__ == "__main__":
    main()
