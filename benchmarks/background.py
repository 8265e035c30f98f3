"""Ways to find background without truth, compared on several data sets by leaving each one out.

    python benchmarks/background.py RUN=PROBE... --out DIR [--split train]

RUN is a tagged run whose data set has a background and truth; PROBE is the probe that ``train-probe`` trained with it.
Every candidate paints the split with given tags. For each data set, the candidate with the lowest mean loss on the
*other* sets is chosen. The result is its loss against the best single threshold by truth.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from pathlib import Path
from typing import Any

from tag2mask.evaluation.evaluate import evaluate, own_truth
from tag2mask.evaluation.sweep import tune_background
from tag2mask.files import write_json
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import open_mask_set
from tag2mask.painting.make import make_masks
from tag2mask.training.run import open_run

CANDIDATES: dict[str, dict[str, Any]] = {
    "threshold 0.1": {"paint": {"background": {"value": 0.1}}},
    "mean": {"paint": {"background": {"value": "mean"}}},
    "otsu": {"paint": {"background": {"value": "otsu"}}},
    "agreement": {"paint": {"background": {"value": "agreement"}}},
    "probe": {"refine": {"names": ("probe",)}},
    "probe,crf": {"refine": {"names": ("probe", "crf")}},
}


def main() -> None:
    """Print the score of each candidate, and the choice when each set is left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN=PROBE")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="train")
    arguments = parser.parse_args()
    table: dict[str, dict[str, float]] = {}
    print("| run | best threshold by truth | " + " | ".join(CANDIDATES) + " |\n" + "|---" * (2 + len(CANDIDATES)) + "|")
    for pair in arguments.runs:
        run, _, probe = pair.partition("=")
        row = scores_of(Path(run), probe, arguments.out, arguments.split)
        table[Path(run).name] = row
        print(f"| {Path(run).name} | " + " | ".join(f"{value:.1f}" for value in row.values()) + " |", flush=True)
        write_json(arguments.out / "background.json", table)
    print("\n| left out | chosen on the others | its loss there | its loss here |\n|---|---|---|---|")
    for name in table:
        others = [row for other, row in table.items() if other != name]
        losses = {kind: statistics.mean(loss(row, kind) for row in others) for kind in CANDIDATES}
        chosen = min(losses, key=losses.__getitem__)
        print(f"| {name} | {chosen} | {losses[chosen]:.1f} | {loss(table[name], chosen):.1f} |")


def loss(row: dict[str, float], kind: str) -> float:
    """Points of mIoU below the best threshold by truth; negative if better."""
    return row["best"] - row[kind]


def scores_of(run: Path, probe: str, out: Path, split: str) -> dict[str, float]:
    """Return the mIoU of the best threshold by truth and of every candidate."""
    best = tune_background(run, None, MaskSettings(split=split), split).settings
    row = {"best": score(run, best, out / f"{run.name}-best")}
    for kind, changes in CANDIDATES.items():
        values = copy.deepcopy({"split": split, **changes})
        if "refine" in values:
            values["refine"]["probe"] = probe
        row[kind] = score(run, MaskSettings.parse(values), out / f"{run.name}-{kind.replace(' ', '-')}")
    return row


def score(run: Path, settings: MaskSettings, out: Path) -> float:
    """Paint and score."""
    masks = make_masks(run, out=out, settings=settings).path
    opened = open_run(run)
    truth = own_truth(open_mask_set(masks), opened.settings.data, opened.own_data)
    assert truth is not None
    return float(evaluate(masks, truth).to_json()["miou"])


if __name__ == "__main__":
    main()
