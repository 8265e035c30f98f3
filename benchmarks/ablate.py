"""TokenMasking's evidence: variants times seeds on a folder of photographs, each trained, painted, scored.

    python benchmarks/ablate.py DATA --weights FILE --out DIR [--variants a,b] [--seeds 0,1,2] [--masks attention]
        [--set KEY=VALUE]...

A row is appended to DIR/results.jsonl as soon as it is there, and a finished row is not made again. ``--table`` prints
mean and spread of what is there.
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
from tag2mask.masks.make import make_masks
from tag2mask.masks.settings import MaskSettings
from tag2mask.training.loop import train
from tag2mask.training.settings import read_settings

VARIANTS: dict[str, list[str]] = {
    "tokenmasking": [],
    "masking 0 %": ["method.masking_ratio=0"],
    "masking 20 %": ["method.masking_ratio=0.2"],
    "masking 80 %": ["method.masking_ratio=0.8"],
    "masking 100 %": ["method.masking_ratio=1"],
    "no register": ["method.registers=0"],
    "pruning": ["method.pruning=true"],
    "classes do not see each other": ["method.class_attention=no_classes"],
    "token + own vector": ["method.reads=token"],
    "token + shared vector": ["method.reads=token", "method.head=shared"],
    "token + mean + raw stream": ["method.reads=token", "method.head=mean", "method.final_norm=false"],
    "paper": ["method=tokenmasking-paper"],
    "paper without pruning": ["method=tokenmasking-paper", "method.pruning=false"],
}
MASKS: dict[str, dict[str, Any]] = {
    "attention": {},
    "attention + affinity + flip": {"refine": "affinity", "flip": True},
}


def main() -> None:
    """Make the rows that are missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--weights")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", default=",".join(VARIANTS), help="with commas between")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--masks", default=",".join(MASKS), help="ways to paint, with commas between")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    results = arguments.out / "results.jsonl"
    if arguments.table:
        print_table(read_rows(results))
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in map(int, arguments.seeds.split(",")):
        for variant in arguments.variants.split(","):
            done = {(row["variant"], row["seed"]) for row in read_rows(results)}
            if (variant, seed) not in done:
                row = measure(arguments, variant, seed)
                with results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)


def measure(arguments: argparse.Namespace, variant: str, seed: int) -> dict[str, Any]:
    """Train, paint the training split with its tags, score."""
    run = arguments.out / f"{variant.replace(' ', '_').replace('%', '').replace('+', '')}-{seed}"
    shutil.rmtree(run, ignore_errors=True)
    settings = read_settings(None, [*arguments.set, *VARIANTS[variant]], {"weights": arguments.weights, "seed": seed})
    start = time.monotonic()
    trained = train(arguments.data, run, settings)
    row: dict[str, Any] = {"variant": variant, "seed": seed, "ap": trained.best_ap}
    row["train_minutes"] = round((time.monotonic() - start) / 60, 2)
    heads = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["open_heads"]
    row["open_heads"] = None if heads is None else sum(heads)
    for name in arguments.masks.split(","):
        start = time.monotonic()
        made = make_masks(run, out=run / name, settings=MaskSettings.parse(MASKS[name]))
        row[f"{name}: minutes"] = round((time.monotonic() - start) / 60, 2)
        scores = evaluate(made.path, arguments.data / "masks").to_json()
        row[name], row["random"] = scores["miou"], scores["random_miou"]
    (run / "state.safetensors").unlink()
    return row


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows made so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def print_table(rows: list[dict[str, Any]]) -> None:
    """Mean and range over seeds, as Markdown."""
    painted = [name for name in MASKS if all(name in row for row in rows)]
    print(f"| variant | seeds | val AP | {' | '.join(f'mIoU, {name}' for name in painted)} | random | open heads |")
    print("|---" * (5 + len(painted)) + "|")
    for variant in dict.fromkeys(row["variant"] for row in rows):
        some = [row for row in rows if row["variant"] == variant]
        cells = [spread([row["ap"] for row in some], 3)]
        cells += [spread([row[name] for row in some], 1) for name in (*painted, "random")]
        heads = [row["open_heads"] for row in some]
        cells.append("-" if None in heads else spread(heads, 0))
        print(f"| {variant} | {len(some)} | {' | '.join(cells)} |")


def spread(values: list[float], digits: int) -> str:
    """Mean and standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


if __name__ == "__main__":
    main()
