"""Ways to find background without truth, compared on several data sets by leaving each one out.

    python benchmarks/background.py NAME=RUN=PROBE... --out DIR [--split train] [--every N]

RUN is a tagged run whose data set has a background and truth; PROBE is the probe that was trained with it. Every
candidate paints every N-th image of the split with given tags. For each data set, the candidate with the lowest mean
loss on the *other* sets is chosen. The result is its loss against the best single threshold by truth. DIR gets
``SPLIT-N.json``, which grows number by number; run the same command again to resume. Numbers without a probe are kept
for a RUN, the others for a RUN and its PROBE.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from refiners import measure
from tag2mask.data import open_dataset
from tag2mask.evaluation.sweep import sweep_images
from tag2mask.files import write_json
from tag2mask.masks.agreement import choose_by_agreement
from tag2mask.masks.localize import Localizer
from tag2mask.masks.resolve import resolve_masks, unrefined
from tag2mask.masks.settings import MaskSettings
from tag2mask.stored import read_stored
from tag2mask.training.run import Run, open_run

BEST = "best"
CANDIDATES: dict[str, dict[str, Any]] = {
    "threshold 0.1": {"threshold": "0.1"},
    "mean": {"threshold": "mean"},
    "otsu": {"threshold": "otsu"},
    "agreement": {"threshold": "agreement"},
    "probe": {"refine": "probe"},
    "probe,crf": {"refine": "probe,crf"},
}


def main() -> None:
    """Print the score of each candidate, and the choice when each set is left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN=PROBE")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--every", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"{arguments.split}-{arguments.every}.json"
    table = read_stored(path, dict[str, dict[str, float]]) if path.is_file() else {}
    print("| data set | best threshold by truth | " + " | ".join(CANDIDATES) + " |")
    print("|---" * (2 + len(CANDIDATES)) + "|")
    rows: dict[str, dict[str, float]] = {}
    for text in arguments.runs:
        name, run, probe = text.split("=")
        for kind, work in ways(open_run(Path(run)), probe, arguments.split, arguments.every).items():
            kept = table.setdefault(text if "probe" in kind else f"{name}={run}", {})
            if kind not in kept:
                kept[kind] = work()
                write_json(path, table)
        row = rows[name] = table[f"{name}={run}"] | table[text]
        print(f"| {name} | " + " | ".join(f"{row[kind]:.1f}" for kind in (BEST, *CANDIDATES)) + " |", flush=True)
    print("\n| left out | chosen on the others | its loss there | its loss here |\n|---|---|---|---|")
    for name, row in rows.items():
        others = [other for left, other in rows.items() if left != name]
        losses = {kind: statistics.mean(loss(other, kind) for other in others) for kind in CANDIDATES}
        chosen = min(losses, key=losses.__getitem__)
        print(f"| {name} | {chosen} | {losses[chosen]:.1f} | {loss(row, chosen):.1f} |")


def loss(row: dict[str, float], kind: str) -> float:
    """Points of mIoU below the best threshold by truth; negative if better."""
    return row[BEST] - row[kind]


def ways(run: Run, probe: str, split: str, every: int) -> dict[str, Callable[[], float]]:
    """Functions that return the mIoU of the best threshold by truth, and of every candidate."""
    samples = list(open_dataset(run.data, run.settings.data, split))[::every]

    def best() -> float:
        by_maps = resolve_masks(unrefined(MaskSettings(split=split)), run)
        return 100 * float(np.nanmax(sweep_images(Localizer(run, by_maps), samples).miou()[1:]))

    def candidate(changes: dict[str, Any]) -> float:
        settings = MaskSettings.read({"split": split, **changes}, [f"probe={probe}"] if "refine" in changes else [])
        if settings.paint.background.value == "agreement":
            settings = choose_by_agreement(run, samples, resolve_masks(settings, run))
        return measure(run, settings, every)["miou"]

    return {BEST: best, **{kind: partial(candidate, given) for kind, given in CANDIDATES.items()}}


if __name__ == "__main__":
    main()
