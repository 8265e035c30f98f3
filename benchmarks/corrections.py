"""What corrections are worth: scores on val of segmenters learned from masks with and without some corrected ones.

    python benchmarks/corrections.py RUN MASKSET --out DIR [--count 20] [--seeds 0,1,2] [--compare MASKSET]
        [--set KEY=VALUE]...

The annotator is simulated: it replaces whole masks by truth, and all pixels count as touched. ``none`` corrects
nothing, ``queue`` the ``--count`` masks that the viewer's queue puts first, which needs no truth, and ``random`` as
many others, drawn by the seed. Each row holds, by seed, the mIoU in percent on val of the segmenter that learned from
these masks (``segment --corrections``), and the mean IoU in percent of the corrected masks before. The seed also is
that of the training. Truth is that of RUN's data; only images with truth can be corrected. ``--compare`` is a second
mask set for the queue, such as one that a segmenter predicted. ``--set`` applies to every segmenter. DIR gets the
corrections, a segmenter and its predictions per row and seed, ``ranks.json``, and ``rows.json``, which grows number by
number. Run the same command again to resume; finished parts are not repeated.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from begun import require_same_arguments
from tag2mask.data.reading import read_mask
from tag2mask.evaluation.evaluate import evaluate, own_truth
from tag2mask.files import write_json
from tag2mask.masks.corrections import Corrections, Origin
from tag2mask.masks.packed import labels_in
from tag2mask.masks.write import MaskSet, open_finished, open_mask_set
from tag2mask.prediction.predict import predict
from tag2mask.prediction.settings import PredictSettings
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import segment
from tag2mask.stored import read_stored
from tag2mask.training.checkpoint import can_resume
from tag2mask.training.run import open_run
from tag2mask.viewer.judging import rank_images
from tag2mask.viewer.opening import opened_session
from tag2mask.viewer.ranking import agreement
from whole import cell

SPLIT = "val"
WAYS = ("none", "queue", "random")


def main() -> None:
    """Compute the missing numbers and print the table, each row as soon as it is complete."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--compare", type=Path)
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    require_same_arguments(arguments, "seeds")
    masks = open_finished(arguments.masks)
    run = open_run(arguments.run)
    truth = own_truth(masks, run.settings.data, run.own_data)
    if truth is None:
        parser.error(f"{arguments.masks}: its data set has no truth to correct masks from")
    ious = true_ious(masks, truth)
    ranks = ranks_of(arguments.masks, arguments.compare, arguments.out / "ranks.json")
    known = sorted(ious)
    relation = float(spearmanr([ranks[name] for name in known], [ious[name] for name in known]).statistic)
    print(f"{len(known)} masks with truth, mean IoU {100 * statistics.mean(ious.values()):.1f} %; ", end="")
    print(f"Spearman correlation of rank and IoU {relation:.2f}", flush=True)
    seeds = arguments.seeds.split(",")
    path = arguments.out / "rows.json"
    rows = read_stored(path, dict[str, dict[str, dict[str, float]]]) if path.is_file() else {}
    print(
        "| corrected | IoU of these masks | " + " | ".join(f"seed {seed}" for seed in seeds) + " | mean mIoU on val |"
    )
    print("|---" * (3 + len(seeds)) + "|")
    for way in WAYS:
        row = rows.setdefault(way, {})
        for seed in seeds:
            if seed not in row:
                names = chosen(way, ranks, known, arguments.count, int(seed))
                miou = measure(arguments, masks, truth, way, int(seed), names)
                before = [100 * ious[name] for name in names]
                row[seed] = {"miou": miou, **({"iou": statistics.mean(before)} if before else {})}
                write_json(path, rows)
        print(line(way, [row[seed] for seed in seeds]), flush=True)


def line(way: str, found: Sequence[dict[str, float]]) -> str:
    """Format a row of the table."""
    before = [one["iou"] for one in found if "iou" in one]
    values = [one["miou"] for one in found]
    cells = [cell("IoU", before) if before else "-", *(f"{value:.1f}" for value in values), cell("mIoU", values)]
    return f"| {way} | " + " | ".join(cells) + " |"


def true_ious(masks: MaskSet, truth: Path) -> dict[str, float]:
    """Return the mean IoU over classes of every mask with truth."""
    found = {}
    for name in masks.names():
        path = truth / f"{name}.png"
        if path.is_file():
            found[name], _ = agreement(labels_in(masks.mask(name)), read_mask(path), masks.classes.ignore)
    return found


def ranks_of(path: Path, compare: Path | None, stored: Path) -> dict[str, float]:
    """Return the rank of every mask; computed once."""
    if not stored.is_file():
        place = stored.with_name("ranking")
        with opened_session(path, compare=compare, corrections=place, judged=False) as session:
            ranked = rank_images(session)
        write_json(stored, {name: one.rank for name, one in ranked.items()})
    return read_stored(stored, dict[str, float])


def chosen(way: str, ranks: dict[str, float], known: Sequence[str], count: int, seed: int) -> list[str]:
    """Return the names of the masks to correct."""
    if way == "none":
        return []
    if way == "queue":
        return sorted(known, key=lambda name: (-ranks[name], name))[:count]
    return sorted(random.Random(seed).sample(list(known), min(count, len(known))))


def measure(
    arguments: argparse.Namespace, masks: MaskSet, truth: Path, way: str, seed: int, names: Sequence[str]
) -> float:
    """Return the mIoU of one segmenter's predictions; finished parts on disk are reused."""
    out: Path = arguments.out / f"{way}-{seed}"
    corrections = None if not names else correct(masks, truth, names, arguments.out / f"corrections-{way}-{seed}")
    settings = SegmentSettings.read({"seed": seed}, arguments.set)
    segment(arguments.run, arguments.masks, out, settings, resume=can_resume(out), corrections=corrections)
    predicted = predict(out, [], out.with_name(f"{out.name}-{SPLIT}"), PredictSettings(), SPLIT).path
    run = open_run(arguments.run)
    val_truth = own_truth(open_mask_set(predicted), run.settings.data, run.own_data)
    assert val_truth is not None
    miou: Any = evaluate(predicted, val_truth).miou
    assert miou is not None
    return float(miou)


def correct(masks: MaskSet, truth: Path, names: Sequence[str], path: Path) -> Path:
    """Replace masks by truth, as the simulated annotator; pixels without truth stay as they are, untouched."""
    store = Corrections(path, Origin(masks.path.resolve().name, masks.manifest_hash(), masks.classes), "simulated")
    for name in names:
        if store.is_corrected(name):
            continue
        true, painted = read_mask(truth / f"{name}.png"), labels_in(masks.mask(name))
        known = true != masks.classes.ignore
        store.save_mask(name, np.where(known, true, painted), known, store.etag(name), "accepted")
    return path


if __name__ == "__main__":
    main()
