"""``tag2mask run`` with all defaults over several seeds, compared with a segmenter trained on truth.

    python benchmarks/whole.py DATA --weights FILE --out DIR [--seeds 0,1,2] [--set STAGE.KEY=VALUE]...

DIR gets ``run-SEED`` and ``full-SEED`` for each seed, and ``rows.json``, which grows row by row. Run the same command
again to resume; finished parts are not repeated. Image tags are given for split train and predicted for val. Truth is
used for scoring, and only ``full`` learns it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from begun import require_same_arguments
from tag2mask.evaluation.evaluate import evaluate, own_truth
from tag2mask.files import write_json
from tag2mask.masks.write import open_mask_set
from tag2mask.prediction.predict import predict
from tag2mask.prediction.settings import PredictSettings
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import segment
from tag2mask.stored import read_stored
from tag2mask.training.checkpoint import can_resume
from tag2mask.training.run import open_run
from tag2mask.workflows.plan import RUN, Plan
from tag2mask.workflows.run import run_whole
from tag2mask.workflows.settings import WholeSettings

COLUMNS = (
    "val AP",
    "random",
    "first masks, train",
    "masks, train",
    "precision",
    "recall",
    "masks, val",
    "weak, val",
    "full, val",
    "weak / full",
    "run min",
    "full min",
)


def main() -> None:
    """Compute the missing rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", default="hub")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    require_same_arguments(arguments, "seeds")
    path = arguments.out / "rows.json"
    rows = read_stored(path, dict[str, dict[str, float]]) if path.is_file() else {}
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
    """Format mean and standard deviation over seeds."""
    digits = 3 if name == "val AP" else 1
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def measure(arguments: argparse.Namespace, seed: int) -> dict[str, float]:
    """Compute one row; minutes are measured in this process, so a resumed row only counts its last part."""
    options = {"train.weights": arguments.weights, "seed": seed}
    given = {key: value for key, value in options.items() if value is not None}
    settings = WholeSettings.read(given, arguments.set)
    start = time.monotonic()
    whole = run_whole(Plan(arguments.data, arguments.out / f"run-{seed}", settings))
    middle = time.monotonic()
    full = learned_from_truth(whole.out / RUN, arguments.out / f"full-{seed}", whole.predicted["val"], settings.segment)
    end = time.monotonic()
    painted, final, own, weak = whole.scores
    best = max(row.get("val_ap", 0.0) for row in open_run(whole.out / RUN).metrics())
    train = {name: final[name] for name in ("precision", "recall")}
    return {
        "val AP": best,
        "random": painted["random_miou"],
        "first masks, train": painted["miou"],
        "masks, train": final["miou"],
        **train,
        "masks, val": own["miou"],
        "weak, val": weak["miou"],
        "full, val": full,
        "weak / full": 100 * weak["miou"] / full,
        "run min": (middle - start) / 60,
        "full min": (end - middle) / 60,
    }


def learned_from_truth(run: Path, out: Path, weak: Path, settings: SegmentSettings) -> float:
    """Return the mIoU of a fully supervised segmenter on the images of the mask set ``weak``."""
    opened = open_run(run)
    truth = own_truth(open_mask_set(weak), opened.settings.data, opened.own_data)
    assert truth is not None
    segment(run, None, out, settings, truth, fully_supervised=True, resume=can_resume(out))
    predicted = predict(out, [], out.with_name(f"{out.name}-val"), PredictSettings(), "val").path
    miou = evaluate(predicted, truth).to_json()["miou"]
    assert miou is not None
    return float(miou)


if __name__ == "__main__":
    main()
