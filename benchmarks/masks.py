"""Pseudo-masks of a data set with all defaults, over seeds: train, probe, paint with and without it, score.

    python benchmarks/masks.py DATA --weights FILE --out DIR [--seeds 0,1,2] [--split train] [--set KEY=VALUE]...

DIR gets a run, a probe and two mask sets a seed, and ``rows.json`` as rows come. Stopped, the same command goes on, and
what is finished is not made again. ``--set`` reaches ``train``. Image tags are given; truth only scores.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tag2mask.evaluation.evaluate import evaluate
from tag2mask.files import write_json
from tag2mask.masks.make import make_masks
from tag2mask.masks.refine.probe import WEIGHTS, ProbeSettings
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.train_probe import train_probe
from tag2mask.masks.write import open_mask_set
from tag2mask.report.page import own_truth
from tag2mask.stored import read_plain
from tag2mask.training.checkpoint import can_resume
from tag2mask.training.loop import train
from tag2mask.training.run import open_run
from tag2mask.training.settings import read_settings

COLUMNS = ("val AP", "random", "maps", "probe", "precision", "recall", "train min", "probe min", "paint min")


def main() -> None:
    """Make the rows that are missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", default="hub")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--split", default="train")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    path = arguments.out / "rows.json"
    rows: dict[str, dict[str, float]] = read_plain(path) if path.is_file() else {}
    print("| seed | " + " | ".join(COLUMNS) + " |\n" + "|---" * (1 + len(COLUMNS)) + "|")
    for seed in arguments.seeds.split(","):
        if seed not in rows:
            rows[seed] = measure(arguments, int(seed))
            write_json(path, rows)
        print(f"| {seed} | " + " | ".join(cell(name, [rows[seed][name]]) for name in COLUMNS) + " |", flush=True)
    if len(rows) > 1:
        columns = {name: [row[name] for row in rows.values()] for name in COLUMNS}
        print("| mean | " + " | ".join(cell(name, values) for name, values in columns.items()) + " |")


def cell(name: str, values: list[float]) -> str:
    """Mean and standard deviation over seeds."""
    digits = 3 if name == "val AP" else 1
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def measure(arguments: argparse.Namespace, seed: int) -> dict[str, float]:
    """One row; what is finished on disk is taken as it is, with no minutes."""
    out: Path = arguments.out
    run, probe = out / f"run-{seed}", out / f"probe-{seed}"
    settings = read_settings(None, arguments.set, {"weights": arguments.weights, "seed": seed})
    minutes = {"train min": timed(lambda: train(arguments.data, run, settings, can_resume(run)))}
    minutes["probe min"] = 0.0
    if not (probe / WEIGHTS).is_file():
        minutes["probe min"] = timed(lambda: train_probe(run, probe, ProbeSettings(seed=seed)))
    plain = make_masks(run, out=out / f"maps-{seed}", settings=MaskSettings(split=arguments.split)).path
    refined = MaskSettings(split=arguments.split, refine=("probe",), probe=str(probe))
    minutes["paint min"] = timed(lambda: make_masks(run, out=out / f"masks-{seed}", settings=refined))
    truth = own_truth(open_run(run), open_mask_set(plain))
    assert truth is not None
    before, after = (evaluate(path, truth).to_json() for path in (plain, out / f"masks-{seed}"))
    best = max(row.get("val_ap", 0.0) for row in open_run(run).metrics())
    scores = {"val AP": best, "random": after["random_miou"], "maps": before["miou"], "probe": after["miou"]}
    return {**scores, "precision": after["precision"], "recall": after["recall"], **minutes}


def timed(work: Callable[[], Any]) -> float:
    """Minutes by the clock."""
    start = time.monotonic()
    work()
    return round((time.monotonic() - start) / 60, 1)


if __name__ == "__main__":
    main()
