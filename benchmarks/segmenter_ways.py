"""Ways to train a segmenter: where it starts, which decoder it has, and how it learns its labels; scores on val.

    python benchmarks/segmenter_ways.py RUN MASKSET --out DIR [--ways A,B,...] [--seeds 0,1,2] [--set KEY=VALUE]...

MASKSET is a mask set of RUN; soft labels need its scores (``tag2mask masks RUN --scores``). A row of the table is one
way and holds the mIoU in percent on val for each seed; ``--ways`` selects rows. Truth (``--truth DIR``, by default that
of RUN's data) is only used for scoring. ``--set`` applies to every segmenter. DIR gets a segmenter and its predictions
per row and seed, and ``rows.json``, which grows number by number. Run the same command again to resume; finished parts
are not repeated.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from whole import cell

SPLIT = "val"
CLIPPED = {"clipping.tau": 1.2}
# WeakTr's decoder starts from random weights, so its rate is higher.
TRANSFORMER = {"decoder": "mask-transformer", "optimiser.lr": 3e-4, "optimiser.encoder": 0.04}


def ways(potts: float) -> dict[str, dict[str, Any]]:
    """Rows of the table, with the settings of each."""
    return {
        "hard": {"target": "hard"},
        "pretrained": {"weights": "pretrained"},
        "mask transformer": TRANSFORMER,
        "mask transformer pretrained": {"weights": "pretrained", **TRANSFORMER},
        "hard + clipping": CLIPPED,
        "soft": {"target": "soft"},
        "soft + Potts": {"target": "soft", "potts": potts},
        "soft + clipping": {"target": "soft", **CLIPPED},
    }


def main() -> None:
    """Compute the missing numbers and print the table, each row as soon as it is complete."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ways")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--potts", type=float, default=1.0)
    parser.add_argument("--truth", type=Path)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    require_same_arguments(arguments, "seeds", "ways")
    seeds = arguments.seeds.split(",")
    path = arguments.out / "rows.json"
    rows = read_stored(path, dict[str, dict[str, float]]) if path.is_file() else {}
    print("| learned | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean |")
    print("|---" * (2 + len(seeds)) + "|")
    chosen = ways(arguments.potts)
    if arguments.ways is not None:
        chosen = {name: chosen[name] for name in arguments.ways.split(",")}
    for name, options in chosen.items():
        row = rows.setdefault(name, {})
        for seed in seeds:
            if seed not in row:
                row[seed] = measure(arguments, name, int(seed), options)
                write_json(path, rows)
        values = [row[seed] for seed in seeds]
        cells = [*(f"{value:.1f}" for value in values), cell("mIoU", values)]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def measure(arguments: argparse.Namespace, name: str, seed: int, options: Mapping[str, Any]) -> float:
    """Return the mIoU of one segmenter's predictions; finished parts on disk are reused."""
    out: Path = arguments.out / f"{name.replace(' + ', '-').replace(' ', '-').lower()}-{seed}"
    settings = SegmentSettings.read({**options, "seed": seed}, arguments.set)
    segment(arguments.run, arguments.masks, out, settings, resume=can_resume(out))
    predicted = predict(out, [], out.with_name(f"{out.name}-{SPLIT}"), PredictSettings(), SPLIT).path
    run = open_run(arguments.run)
    truth = arguments.truth or own_truth(open_mask_set(predicted), run.settings.data, run.own_data)
    assert truth is not None
    miou = evaluate(predicted, truth).to_json()["miou"]
    assert miou is not None
    return float(miou)


if __name__ == "__main__":
    main()
