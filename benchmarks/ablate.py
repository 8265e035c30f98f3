"""Ablation of attended and TokenMasking: train, paint and score every variant with every seed on one data set.

    python benchmarks/ablate.py DATA --weights FILE --out DIR [--variants a,b] [--seeds 0,1,2] [--set KEY=VALUE]...

Every variant and seed gets a run in DIR; finished ones are not repeated. ``--table`` prints mean and standard deviation
of the finished ones.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from tag2mask.evaluation.evaluate import evaluate
from tag2mask.masks.settings import MaskSettings
from tag2mask.painting.make import make_masks
from tag2mask.training.loop import train
from tag2mask.training.run import open_run
from tag2mask.training.settings import TrainSettings

ROW = "row.json"
VARIANTS: dict[str, list[str]] = {
    "attended": [],
    "masking 0 %": ["method.masking_ratio=0"],
    "masking 20 %": ["method.masking_ratio=0.2"],
    "masking 80 %": ["method.masking_ratio=0.8"],
    "masking 100 %": ["method.masking_ratio=1"],
    "no register": ["method.registers=0"],
    "pruning": ["method.pruning=true"],
    "classes do not see each other": ["method.class_attention=no_classes"],
    "paper": ["method=tokenmasking"],
    "paper without pruning": ["method=tokenmasking", "method.pruning=false"],
    "token + own vector": [
        *("method=tokenmasking", "method.pruning=false"),
        *("method.head=per_token", "method.map_layers=3"),
    ],
}
# How each run is painted: by the class tokens' attention, or by the patches' contributions to the logit (attended).
MASKS = ("attention", "contribution")


def main() -> None:
    """Compute the missing rows, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--weights")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", default=",".join(VARIANTS), help="comma-separated")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print_table([json.loads(path.read_text()) for path in sorted(arguments.out.glob(f"*/{ROW}"))])
        return
    for seed in map(int, arguments.seeds.split(",")):
        for variant in arguments.variants.split(","):
            print(json.dumps(measure(arguments, variant, seed)), flush=True)


def measure(arguments: argparse.Namespace, variant: str, seed: int) -> dict[str, Any]:
    """Train, paint the training split with its tags, and score; skip the parts that are finished."""
    run = arguments.out / f"{variant.replace(' ', '_').replace('%', '').replace('+', '')}-{seed}"
    if not (run / ROW).exists():
        shutil.rmtree(run, ignore_errors=True)
        options = {"weights": arguments.weights, "seed": seed}
        settings = TrainSettings.read(options, [*arguments.set, *VARIANTS[variant]])
        start = time.monotonic()
        trained = train(arguments.data, run, settings)
        minutes = round((time.monotonic() - start) / 60, 2)
        heads = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["open_heads"]
        row = {"variant": variant, "seed": seed, "ap": trained.best_ap, "train_minutes": minutes}
        row["open_heads"] = None if heads is None else sum(heads)
        (run / ROW).write_text(json.dumps(row))
        (run / "state.safetensors").unlink()
    row = json.loads((run / ROW).read_text())
    ways = {name: {"maps": name} for name in MASKS}
    if open_run(run).settings.method != "attended":
        ways = {"attention": {}}
    for name, changes in ways.items():
        if name not in row:
            made = make_masks(run, out=run / name, settings=MaskSettings(method=changes))
            scores = evaluate(made.path, arguments.data / "masks").to_json()
            row[name], row["random"] = scores["miou"], scores["random_miou"]
            (run / ROW).write_text(json.dumps(row))
    found: dict[str, Any] = row
    return found


def print_table(rows: list[dict[str, Any]]) -> None:
    """Mean and standard deviation over seeds, as Markdown."""
    print(f"| variant | seeds | val AP | {' | '.join(f'mIoU, {name}' for name in MASKS)} | random | open heads |")
    print("|---" * (5 + len(MASKS)) + "|")
    for variant in (name for name in VARIANTS if any(row["variant"] == name for row in rows)):
        some = [row for row in rows if row["variant"] == variant]
        cells = [spread([row["ap"] for row in some], 3)]
        for name in (*MASKS, "random", "open_heads"):
            values = [row[name] for row in some if row.get(name) is not None]
            cells.append(spread(values, 0 if name == "open_heads" else 1) if values else "-")
        print(f"| {variant} | {len(some)} | {' | '.join(cells)} |")


def spread(values: list[float], digits: int) -> str:
    """Mean and standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


if __name__ == "__main__":
    main()
