"""Refiners on several data sets: when does each one help?

    python benchmarks/refiners.py RUN=[PROBE]... --out DIR [--split train] [--every N] [--crf NAME,...]

RUN is a tagged run whose data set has truth; PROBE, if given, is the probe that ``train-probe`` trained with it. Each
refiner paints every N-th image of the split with given tags; truth is only used for scoring. ``--crf`` adds rows with
constants from papers. Cells are mIoU (precision / recall). DIR gets ``rows.json``, which grows cell by cell; run the
same command again to resume. A different run, split or N starts a new column.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tag2mask.data import open_dataset
from tag2mask.data.reading import read_mask
from tag2mask.evaluation.confusion import Counts, confusion
from tag2mask.evaluation.iou import mean_known, score_table
from tag2mask.files import write_json
from tag2mask.masks.localize import tensor_batches
from tag2mask.masks.resolve import resolve_masks, unrefined
from tag2mask.masks.settings import MaskSettings
from tag2mask.painting.painter import Painter
from tag2mask.stored import read_plain
from tag2mask.training.run import Run, open_run

REFINERS = ("none", "pamr", "guided", "crf", "guided,crf")
WITH_PROBE = ("probe", "probe,guided", "probe,crf")
Rows = dict[str, dict[str, dict[str, float]]]


def main() -> None:
    """Compute the missing cells and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, "RUN=[PROBE]")
    parser.add_argument("--crf", default="")
    arguments = parser.parse_args()
    plain: dict[str, dict[str, Any]] = {name: {"refine": name} for name in REFINERS}
    plain |= {f"crf {name}": {"refine": "crf", "crf": name} for name in arguments.crf.split(",") if name}
    probed = {name: {"refine": name} for name in WITH_PROBE}
    columns: dict[str, tuple[Run, dict[str, dict[str, Any]]]] = {}
    for pair in arguments.runs:
        path, _, probe = pair.partition("=")
        own = {name: {**changes, "probe": probe} for name, changes in probed.items()} if probe else {}
        columns[path] = open_run(Path(path)), {**plain, **own}
    fill_in(columns, [*plain, *probed], arguments)


def add_arguments(parser: argparse.ArgumentParser, runs: str) -> None:
    """Add the arguments that both benchmarks share."""
    parser.add_argument("runs", nargs="+", metavar=runs)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--every", type=int, default=1)


def fill_in(
    columns: Mapping[str, tuple[Run, Mapping[str, dict[str, Any]]]], names: list[str], arguments: argparse.Namespace
) -> None:
    """Measure the variants of each column, given as changed settings of ``masks`` by name, and print the table."""
    path = arguments.out / "rows.json"
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows: Rows = read_plain(path) if path.is_file() else {}
    heads = []
    for shown, (run, variants) in columns.items():
        key = f"{run.path.resolve()} {run.checkpoint_hash()[:12]} {arguments.split} {arguments.every}"
        column = rows.setdefault(key, {})
        for name, changes in variants.items():
            if name not in column:
                settings = unrefined(MaskSettings.parse({"split": arguments.split, **changes}))
                column[name] = measure(run, settings, arguments.every)
                write_json(path, rows)
                print(f"{shown} {name}: {cell(column[name])}, {column[name]['seconds']:.2f} s per image", flush=True)
        heads.append((f"{shown} ({column[names[0]]['images']:.0f} images)", column))
    print("\n| | " + " | ".join(head for head, _ in heads) + " |\n" + "|---" * (1 + len(heads)) + "|")
    for name in names:
        print(f"| {name} | " + " | ".join(cell(column.get(name)) for _, column in heads) + " |")


def cell(scores: Mapping[str, float] | None) -> str:
    """Format the scores of one variant on one data set."""
    if scores is None:
        return "-"
    return f"{scores['miou']:.1f} ({scores['precision']:.1f} / {scores['recall']:.1f})"


def measure(run: Run, settings: MaskSettings, every: int) -> dict[str, float]:
    """Paint every ``every``-th image; return scores in percent and CPU ``seconds`` per image, including reading.

    Raises:
        SystemExit: no image of the split has truth.
    """
    truth = run.data / run.settings.data.masks
    dataset = open_dataset(run.data, run.settings.data, settings.split)
    samples = [one for one in dataset if (truth / f"{one.name}.png").is_file()][::every]
    if not samples:
        raise SystemExit(f"{truth}: no image of split {settings.split} has truth")
    painter = Painter(run, resolve_masks(settings, run))
    classes = run.classes
    counts: list[Counts] = []
    start = time.process_time()
    for batch in tensor_batches(samples, run.settings.data, settings.look.batch_size, {}):
        for (sample, _), painted in zip(batch, painter.paint(batch), strict=True):
            true = read_mask(truth / f"{sample.name}.png")
            counts.append(confusion(true, painted.labels, len(classes.pixel_names), classes.ignore))
    table = score_table(np.sum(counts, 0))
    shares = {"miou": table.miou, "precision": mean_known(table.precision), "recall": mean_known(table.recall)}
    seconds = (time.process_time() - start) / len(counts)
    return {
        **{name: round(100 * share, 2) for name, share in shares.items()},
        "images": len(counts),
        "seconds": seconds,
    }


if __name__ == "__main__":
    main()
