"""Self-training: a segmenter repaints the images that it was trained on, and a new one is trained on those masks.

::

    OUT/round-1            a complete segmenter, trained on the given masks
        repainted          its masks of the same images, limited to their tags: training masks of round 2
        predicted-val      its masks of the validation images, without tags
    OUT/round-2 ...
    OUT                    the last round's segmenter, with its predicted-val
    OUT/rounds.json        the number of rounds, and the results of each

No round is selected: all rounds have the same settings, and the last one is kept.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tag2mask.data import open_dataset
from tag2mask.errors import DataError, RunError, SettingsError, SplitMissingError
from tag2mask.evaluation.confusion import Counts
from tag2mask.evaluation.evaluate import image_counts, percent
from tag2mask.evaluation.iou import score_table
from tag2mask.files import write_json
from tag2mask.masks.packed import labels_in
from tag2mask.masks.write import MaskSet, open_finished, tags_of, with_corrections
from tag2mask.prediction.predict import predict
from tag2mask.prediction.repaint import repaint
from tag2mask.prediction.settings import PredictSettings
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.sources import open_labels
from tag2mask.segmentation.train import SegmentResult, resolve_segmenter, segment, train_segmenter
from tag2mask.stored import Count, Stored, read_stored
from tag2mask.training.checkpoint import STATE
from tag2mask.training.run import Run, open_run
from tag2mask.training.start import open_processes, require_empty
from tag2mask.training.together import together, wait_for_first

ROUNDS, ROUND, REPAINTED, PREDICTED = "rounds.json", "round-{}", "repainted", "predicted-val"


@dataclass(frozen=True)
class Round:
    """The results of a round, in percent; None if unknown.

    ``changed`` is the fraction of its label pixels that differ from the round before. With truth, ``precision`` is the
    fraction of its labelled pixels that are correct, and ``val_miou`` the segmenter's mIoU without tags.
    """

    round: int
    segmenter: str
    labels: str
    loss: float
    changed: float | None
    precision: float | None
    val_miou: float | None


@dataclass(frozen=True)
class Truth:
    """Folders of truth for scoring: of the training images, and of the split ``val_split``."""

    labels: Path | None
    val: Path | None
    val_split: str | None


def segment_in_rounds(
    run: Path,
    masks: Path | None,
    out: Path,
    settings: SegmentSettings,
    rounds: int = 1,
    truth: Path | None = None,
    val_truth: Path | None = None,
    fully_supervised: bool = False,
    resume: bool = False,
    corrections: Path | None = None,
) -> SegmentResult:
    """Run ``segment`` ``rounds`` times, each time on the masks that the previous segmenter repainted.

    ``truth`` and ``val_truth`` are used only for scoring. Without ``val_truth``, ``truth`` may also hold that of
    validation images. ``corrections`` replace the masks of every round.

    Raises:
        As ``segment``.
        SettingsError: the options contradict each other.
        DataError: ``val_truth`` holds no truth of a validation image.
    """
    if rounds == 1:
        if val_truth is not None:
            raise SettingsError("--val-truth scores rounds: use --rounds 2 or more, or score predictions with evaluate")
        return segment(run, masks, out, settings, truth, fully_supervised, resume, corrections)
    if rounds < 1 or fully_supervised or masks is None:
        wanted = "1 or more" if rounds < 1 else "--masks MASKSET to repaint, and no --fully-supervised"
        raise SettingsError(f"--rounds {rounds}: expected {wanted}")
    if settings.target == "soft":
        raise SettingsError(f"--rounds {rounds} repaints masks without scores: remove --target soft")
    opened = open_run(run)
    first = with_corrections(open_finished(masks), corrections)
    tags_of(first)
    known = Truth(truth, *validation_truth(opened, truth, val_truth))
    settings = resolve_segmenter(settings, opened)
    if resume:
        require_rounds(out, rounds)
    else:
        require_empty(out)
    return train_rounds(opened, first, out, settings, rounds, known, resume)


def train_rounds(
    run: Run, first: MaskSet, out: Path, settings: SegmentSettings, rounds: int, truth: Truth, resume: bool
) -> SegmentResult:
    """Train all rounds; finished ones are kept."""
    main = open_processes().is_main_process
    with together():
        return train_each(run, first, out, settings, rounds, truth, resume, main)


def train_each(
    run: Run,
    first: MaskSet,
    out: Path,
    settings: SegmentSettings,
    rounds: int,
    truth: Truth,
    resume: bool,
    main: bool,
) -> SegmentResult:
    """Train one round after another; between them, only the ``main`` process repaints and scores."""
    before, labels = None, first
    corrections = None if first.corrected is None else first.corrected.path
    finished: list[dict[str, Any]] = []
    for number in range(1, rounds + 1):
        folder = out if number == rounds else out / ROUND.format(number)
        source = open_labels(run, labels.path, truth.labels, False, run.settings.split, corrections=corrections)
        result = train_segmenter(run, source, folder, settings, resume and (folder / STATE).is_file())
        if main:
            if number < rounds:
                repaint(open_segmenter(folder), source.images, first, folder / REPAINTED)
            finished.append(asdict(summarise_round(number, result, labels, before, truth)))
            write_json(out / ROUNDS, {"rounds": rounds, "finished": finished})
        wait_for_first()
        if number < rounds:
            before, labels = labels, with_corrections(open_finished(folder / REPAINTED), corrections)
    return replace(result, rounds=tuple(finished))


def summarise_round(number: int, result: SegmentResult, labels: MaskSet, before: MaskSet | None, truth: Truth) -> Round:
    """Return the results of a round."""
    precision, miou = None, None
    if truth.labels is not None:
        counts = true_counts(labels, truth.labels)
        right, labelled = np.diagonal(counts).sum(), counts[:, :-1].sum()
        precision = percent(right / max(labelled, 1))
    if truth.val is not None:
        predicted = result.path / PREDICTED
        failures = predict(result.path, [], predicted, PredictSettings(), truth.val_split).failures
        if failures:
            raise DataError(f"{next(iter(failures.values()))}; fix or remove it, then continue with --resume")
        miou = percent(score_table(true_counts(open_finished(predicted), truth.val)).miou)
    changed = None if before is None else percent(share_changed(before, labels))
    return Round(number, str(result.path), str(labels.path), result.loss, changed, precision, miou)


def true_counts(masks: MaskSet, truth: Path) -> Counts:
    """Return the confusion over all masks with truth."""
    names = [name for name in masks.names() if (truth / f"{name}.png").is_file()]
    counts: Counts = np.stack([image_counts(masks, truth, name) for name in names]).sum(0)
    return counts


def share_changed(before: MaskSet, now: MaskSet) -> float:
    """Return the fraction of pixels that differ between two mask sets with the same images."""
    differing = pixels = 0
    for name in now.names():
        labels = labels_in(now.mask(name))
        differing += int((labels != labels_in(before.mask(name))).sum())
        pixels += labels.size
    return differing / pixels


def validation_truth(run: Run, truth: Path | None, val_truth: Path | None) -> tuple[Path | None, str | None]:
    """Return the folder of the validation images' truth (None if there is none), and their split.

    Raises:
        DataError: ``val_truth`` is given and holds none.
    """
    split, folder = run.settings.val_split, val_truth or truth
    if folder is None:
        return None, split
    try:
        names = [sample.name for sample in open_dataset(run.data, run.settings.data, split)] if split else []
    except SplitMissingError:
        names = []
    if any((folder / f"{name}.png").is_file() for name in names):
        return folder, split
    if val_truth is None:
        return None, split
    raise DataError(f"{val_truth}: holds the truth of none of the {len(names)} images of the run's split {split}")


class Begun(Stored):
    """The part of ``rounds.json`` that is checked when resuming."""

    rounds: Count


def require_rounds(out: Path, rounds: int) -> None:
    """Check that a training with this number of rounds was begun in ``out``."""
    path = out / ROUNDS
    begun = read_stored(path, Begun).rounds if path.is_file() else rounds
    if begun != rounds:
        raise RunError(f"{out} was begun with --rounds {begun}, not {rounds}; resume with the same number")
    if not (out / ROUND.format(1)).is_dir():
        raise RunError(f"{out}: has no round to resume; start in an empty folder without --resume")
