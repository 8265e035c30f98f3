"""The page's section about a segmenter: its masks compared with the tagged run's pseudo-masks and with truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tag2mask.data import open_dataset
from tag2mask.errors import MaskSetError, SettingsError
from tag2mask.evaluation.evaluate import in_percent, own_truth, score_masks
from tag2mask.masks.manifest import MANIFEST
from tag2mask.masks.write import MaskSet, open_mask_set
from tag2mask.reports.charts import Chart, line_chart
from tag2mask.reports.comparison import SHOWN, ComparedRow, compare_image
from tag2mask.reports.page import templates
from tag2mask.reports.sheet import choose_evenly, class_keys
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.sources import SUPERVISED, of_same_classes
from tag2mask.training.run import CONFIG, MODEL, Run, open_run, read_metrics

OWN, WEAK, FULL = "pseudo-masks", "segmenter", "fully supervised"
SHARES = {"kept": "kept", "precision": "correct, of all labels", "kept_precision": "correct, of the kept ones"}
UNCLIPPED = {"precision": "correct"}  # without clipping, all are kept


@dataclass(frozen=True)
class SegmenterSection:
    """The section as HTML, the scores by mask set, and the segmenter's mIoU in percent of the supervised one's."""

    html: str
    scores: dict[str, dict[str, Any]]
    ratio: float | None

    def line(self) -> str:
        """Return the scores in one line."""
        parts = [
            f"{name} {in_percent(scores['miou'])} "
            f"(precision {in_percent(scores['precision'])}, recall {in_percent(scores['recall'])})"
            for name, scores in self.scores.items()
        ]
        if self.ratio is not None:
            parts.append(f"{WEAK} / {FULL} {self.ratio:.1f} %")
        return f"mIoU without tags on {self.scores[WEAK]['images']} images: {', '.join(parts)}"

    def to_json(self) -> dict[str, Any]:
        """Return the scores for ``--json``."""
        return {"scores": self.scores, "weak_of_full": self.ratio}


def segmenter_section(
    run: Path, segmented: Path, full: Path | None = None, own: Path | None = None, truth: Path | None = None
) -> SegmenterSection:
    """Compare mask sets on the images that have truth and a mask in all of them.

    ``segmented`` was predicted by a segmenter, ``full`` by a fully supervised one. The tagged run's masks for predicted
    tags are added (``own``, or any of the run's) if they have all these images.

    Raises:
        RunError, MaskSetError, DataError: something cannot be read, or there is nothing to compare.
        SettingsError: ``segmented`` or ``full`` is the wrong kind of mask set.
    """
    opened = open_run(run)
    sets = {WEAK: of_same_classes(segmented, opened.classes)}
    require_learned(sets[WEAK], from_truth=False)
    if full is not None:
        sets[FULL] = of_same_classes(full, opened.classes)
        require_learned(sets[FULL], from_truth=True)
    truth = truth or own_truth(sets[WEAK], opened.settings.data, opened.own_data)
    names = common_names(sets, truth)
    assert truth is not None
    beside = own_masks(opened, own, names)
    sets = ({} if beside is None else {OWN: beside}) | sets
    scores = {name: score_masks(masks, truth, names).to_json() for name, masks in sets.items()}
    ratio = percent_of(scores[WEAK]["miou"], scores[FULL]["miou"]) if full is not None else None
    keys = class_keys(opened.classes)
    html = (
        templates()
        .get_template("segmenter.html.j2")
        .render(
            names=list(sets),
            scores=scores,
            learned={name: learned_from(masks) for name, masks in sets.items()},
            ratio=ratio,
            classes=[(key, [row["per_class"][key.name] for row in scores.values()]) for key in keys],
            rows=sheet(opened, sets, names, truth),
            charts=[chart for name, masks in sets.items() for chart in training_charts(opened, name, masks)],
            in_percent=in_percent,
        )
    )
    return SegmenterSection(html, scores, ratio)


def learned_from(masks: MaskSet) -> str:
    """Return which labels the segmenter of a mask set learned from."""
    used: str = masks.manifest.get("labels_used", "unknown")
    return used.split("learned from: ")[-1]


def require_learned(masks: MaskSet, from_truth: bool) -> None:
    """Check whether a mask set's segmenter learned from truth.

    Raises:
        SettingsError: it did although ``from_truth`` is false, or the reverse.
    """
    if (SUPERVISED in str(masks.manifest.get("truth_used"))) == from_truth:
        return
    if from_truth:
        raise SettingsError(
            f"--full {masks.path}: its segmenter did not learn from truth; train one with --fully-supervised"
        )
    raise SettingsError(f"--segmented {masks.path}: its segmenter learned from truth; give it as --full")


def common_names(sets: Mapping[str, MaskSet], truth: Path | None) -> list[str]:
    """Return the images that have a mask in every mask set, and truth.

    Raises:
        MaskSetError: there are none.
    """
    everywhere = set.intersection(*(set(masks.names()) for masks in sets.values()))
    found = sorted(name for name in everywhere if truth is not None and (truth / f"{name}.png").is_file())
    if not found:
        where = " and ".join(str(masks.path) for masks in sets.values())
        raise MaskSetError(
            f"{where}: no image {'in it' if len(sets) == 1 else 'in both'} has truth in "
            f"{truth or 'the data set'}; predict images with truth, or name their truth with --truth"
        )
    return found


def own_masks(run: Run, own: Path | None, names: Sequence[str]) -> MaskSet | None:
    """Return the tagged run's masks of all these images with predicted tags: ``own``, or the first below the run."""
    for path in ([] if own is None else [own]) + sorted(path.parent for path in run.path.glob(f"*/{MANIFEST}")):
        masks = open_mask_set(path)
        predicted = masks.manifest.get("settings", {}).get("tags") == "predicted"
        if predicted and masks.manifest.get("complete") and set(names) <= set(masks.names()):
            return masks
    return None


def percent_of(part: float | None, whole: float | None) -> float | None:
    """Return ``part`` in percent of ``whole``, or None if either is missing."""
    return round(100 * part / whole, 1) if part is not None and whole else None


def sheet(run: Run, sets: Mapping[str, MaskSet], names: Sequence[str], truth: Path) -> list[ComparedRow]:
    """Return image, truth and the mask of every set, for up to twelve images of the run's data."""
    images = {sample.name: sample for sample in open_dataset(run.data, run.settings.data)}
    chosen = choose_evenly([name for name in names if name in images], SHOWN)
    return [compare_image(images[name], sets, truth, run.settings.data) for name in sorted(chosen)]


def training_charts(run: Run, name: str, masks: MaskSet) -> list[Chart]:
    """Return charts of the segmenter's loss and of kept and correct labels; none if its folder cannot be found."""
    folder = segmenter_of(run, masks)
    metrics = [] if folder is None else read_metrics(folder)
    if not metrics:
        return []
    epochs = [row["epoch"] for row in metrics]
    loss = {term: [row["loss"][term] for row in metrics] for term in metrics[0]["loss"]}
    charts = [line_chart(f"Loss, {name}", "loss", epochs, loss)]
    if name == WEAK:
        known = set.intersection(*(set(row) for row in metrics))
        titles = SHARES if any(row["kept"] < 1 for row in metrics) else UNCLIPPED
        shares = {title: [row[key] for row in metrics] for key, title in titles.items() if key in known}
        if shares:
            charts.append(line_chart("Labels of the pseudo-masks", "fraction of pixels", epochs, shares, top=1.0))
    return charts


def segmenter_of(run: Run, masks: MaskSet) -> Path | None:
    """Return the segmenter's folder, if it is beside the mask set or the run and has the same weights, else None."""
    for place in (masks.path.resolve().parent, run.path.resolve().parent):
        folder = place / str(masks.manifest.get("segmenter"))
        if (folder / CONFIG).is_file() and (folder / MODEL).is_file():
            opened = open_segmenter(folder)
            if opened.checkpoint_hash() == masks.manifest.get("checkpoint_sha256"):
                return folder
    return None
