"""The whole workflow in one call: check, train, probe, masks, segment, predict, evaluate, report.

::

    plan.json        the requested settings; other settings for the same folder are an error
    done.json        the results of every finished stage
    run/             the tagged run, with its probe, masks-train and masks-val
    segmenter/       trained on run/masks-train
    predicted-val/   by the segmenter, without tags; also predicted-test, if there is such a split
    scores.json      scores of the mask sets, if there is truth
    report.html

The same call resumes after an interruption.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tag2mask.data import open_dataset
from tag2mask.data.check.folder import check
from tag2mask.data.folder import images_folder, require_outside
from tag2mask.errors import DataError, SettingsError
from tag2mask.evaluation.evaluate import evaluate, in_percent, own_truth
from tag2mask.files import held, write_json
from tag2mask.masks.resolve import choose_refiners
from tag2mask.masks.write import open_mask_set
from tag2mask.painting.make import make_masks
from tag2mask.prediction.predict import predict
from tag2mask.progress import progress_bar
from tag2mask.refine.chain import refiner_names, require_refiners
from tag2mask.refine.settings import PROBE
from tag2mask.refine.settings import SEGMENTER as SEGMENTER_REFINER
from tag2mask.reports.page import write_report
from tag2mask.reports.segmenter import segmenter_section
from tag2mask.segmentation.train import segment
from tag2mask.shown import Shown, Table
from tag2mask.training.checkpoint import can_resume
from tag2mask.training.loop import train
from tag2mask.training.run import OWN_PROBE, open_run
from tag2mask.workflows.plan import PLAN, RUN, SEGMENTER, Plan, require_same_plan
from tag2mask.workflows.stages import Stages, announce
from tag2mask.workflows.training import add_probe

SCORES, REPORT, TEST = "scores.json", "report.html", "test"


@dataclass(frozen=True)
class WholeResult:
    """The results of every stage by name, and one row of ``scores`` per mask set with truth.

    ``masks`` are the final ones of the training images, ``predicted`` those of other splits, by the segmenter.
    """

    out: Path
    masks: Path
    predicted: dict[str, Path]
    stages: dict[str, Any]
    scores: list[dict[str, Any]]

    @property
    def failures(self) -> dict[str, str]:
        """Images that could not be painted, and why."""
        return {name: why for stage in self.stages.values() for name, why in stage.get("failures", {}).items()}

    def to_json(self) -> dict[str, Any]:
        """Return the result for ``--json``."""
        places = {"run": RUN, "segmenter": SEGMENTER, "report": REPORT}
        return {
            "out": str(self.out),
            **{name: str(self.out / place) for name, place in places.items()},
            "masks": str(self.masks),
            "predicted": {split: str(path) for split, path in self.predicted.items()},
            "stages": self.stages,
            "scores": self.scores,
            "failures": self.failures,
        }

    def shown(self) -> Shown:
        """Return the paths, and the scores with those of painting at random, for printing."""
        return whole_shown(self.to_json())


def whole_shown(result: Mapping[str, Any]) -> Shown:
    """Return the lines and tables of ``WholeResult.shown``."""
    lines = [
        f"{result['run']}: run trained on tags; its mask sets are masks-*",
        f"{result['segmenter']}: segmenter trained on them; use it with: "
        f"tag2mask predict {result['segmenter']} IMAGES --out MASKS",
        f"{result['masks']}: final masks of the training images",
        *(f"{path}: masks by the segmenter, without tags" for path in result["predicted"].values()),
        f"{result['report']}: report",
    ]
    view = f"look at the masks and correct them with: tag2mask view {result['masks']}"
    if not result["scores"]:
        return [*lines, "no scores: the data set has no true masks of these images", view]
    rows = []
    for row in result["scores"]:
        low, high = map(in_percent, row["miou_interval_95"])
        numbers = [in_percent(row.get(key)) for key in ("miou", "precision", "recall")]
        chance = in_percent(row["random_miou"])
        rows.append([row["mask_set"], str(row["images"]), row["tags"], *numbers, f"{low}-{high}", chance])
    return [
        *lines,
        Table(["mask set", "images", "tags", "mIoU", "precision", "recall", "95 %", "random"], rows),
        "95 %: confidence interval of mIoU over images; random: mIoU of painting at random",
        view,
    ]


def run_whole(plan: Plan) -> WholeResult:
    """Run the remaining stages in ``plan.out``.

    Raises:
        DataError: ``check`` found an error (the first is reported), or ``plan.out`` is inside the folder of images.
        RunError: ``plan.out`` holds something else, or was begun with another plan.
        Tag2MaskError: a stage failed.
        KeyboardInterrupt: it was interrupted; finished stages are saved.
    """
    if "split" in plan.given.masks.model_fields_set:
        raise SettingsError("masks.split cannot be set: the training images are painted; set train.split instead")
    require_refiners(plan.given.masks.refine.names or ())
    require_outside(plan.out, images_folder(plan.data))
    with held(plan.out):
        require_same_plan(plan)
        return go_all_the_way(plan)


def go_all_the_way(plan: Plan) -> WholeResult:
    """Run all stages in order."""
    stages = Stages(plan.out)
    checked = stages.stage("check", plan.data, partial(look_over, plan))
    way = Way(plan, checked)
    stages.stage("train", way.run, way.train)
    if way.probes:
        stages.stage("probe", way.probe, way.train_probe)
    stages.stage(f"masks {way.source}", way.painted(way.source), partial(way.paint, way.source, {}))
    stages.stage("segment", way.segmenter, way.segment)
    if way.repaints:
        stages.stage(f"repaint {way.source}", way.repainted, way.repaint)
    for split in way.unseen:
        stages.stage(f"predict {split}", way.predicted(split), partial(way.predict, split))
    if way.validation is not None:
        guess = partial(way.paint, way.validation, {"tags": "predicted"})
        stages.stage(f"masks {way.validation}", way.painted(way.validation), guess)
    stages.stage("evaluate", plan.out / SCORES, way.evaluate)
    stages.stage("report", plan.out / REPORT, way.report)
    predicted = {split: way.predicted(split) for split in way.unseen}
    return WholeResult(plan.out, way.final, predicted, stages.done, stages.done["evaluate"].get("scores", []))


def look_over(plan: Plan) -> dict[str, Any]:
    """Check the data set; if it has no errors, create the folder and write the plan.

    Raises:
        DataError: the check found an error.
    """
    with progress_bar("check", None) as bar:
        report = check(plan.data, plan.given.train.data, bar.advance)
    errors = [problem.message for problem in report.problems if problem.severity == "error"]
    if errors:
        more = f" ({len(errors) - 1} more: tag2mask check {plan.data})" if errors[1:] else ""
        raise DataError(errors[0] + more)
    if report.problems:
        announce(f"check: {len(report.problems)} warnings; list them with tag2mask check {plan.data}")
    plan.out.mkdir(parents=True, exist_ok=True)
    write_json(plan.out / PLAN, plan.to_json())
    train = plan.given.train
    tagged = sum(sample.tags is not None for sample in open_dataset(plan.data, train.data, train.split))
    return {"tagged": tagged, "splits": report.splits, "warnings": len(report.problems)}


class Way:
    """The stages after the check, each a method that returns its results, and the paths of their products."""

    def __init__(self, plan: Plan, checked: Mapping[str, Any]) -> None:
        self.plan = plan
        splits: Mapping[str, int] = checked.get("splits", {})
        self.source = plan.given.train.split
        self.settings = plan.settings(checked.get("tagged", 0))
        validation = self.settings.train.val_split
        self.validation = validation if validation in splits else None
        self.unseen = [split for split in dict.fromkeys((validation or TEST, TEST)) if split in splits]
        self.run, self.segmenter = plan.out / RUN, plan.out / SEGMENTER
        self.probe = self.run / OWN_PROBE
        self.probes = choose_refiners(self.settings.masks, has_probe=True).uses(PROBE)
        self.repainted = plan.out / f"masks-{self.source}"
        self.repaints = self.settings.masks.paint.rule == "argmax"  # the other rule compares no scores
        self.final = self.repainted if self.repaints else self.painted(self.source)

    def painted(self, split: str) -> Path:
        """Return the mask set that the tagged run paints."""
        return self.run / f"masks-{split}"

    def predicted(self, split: str) -> Path:
        """Return the mask set that the segmenter predicts."""
        return self.plan.out / f"predicted-{split}"

    def train(self) -> dict[str, Any]:
        """Train the tagged run."""
        return train(self.plan.data, self.run, self.settings.train, can_resume(self.run)).to_json()

    def train_probe(self) -> dict[str, Any]:
        """Train the probe, on the training images of the run."""
        settings = self.settings.probe
        masks = settings.masks.model_copy(update={"split": self.source})
        summary = add_probe(self.run, settings.model_copy(update={"masks": masks}))
        return {} if summary is None else summary.to_json()

    def paint(self, split: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Paint the tagged run's masks of a split."""
        settings = self.settings.masks.model_copy(update={"split": split, **changes})
        return make_masks(self.run, out=self.painted(split), settings=settings).to_json()

    def repaint(self) -> dict[str, Any]:
        """Paint the training images by the tagged run and the segmenter together: their final masks."""
        before = choose_refiners(self.settings.masks, open_run(self.run).own_probe is not None)
        names = tuple(name for name in refiner_names() if before.uses(name) or name == SEGMENTER_REFINER)
        refined = before.model_copy(update={"names": names, "segmenter": str(self.segmenter)})
        settings = self.settings.masks.model_copy(update={"split": self.source, "refine": refined})
        return make_masks(self.run, out=self.repainted, settings=settings).to_json()

    def segment(self) -> dict[str, Any]:
        """Train the segmenter, on the masks of the run's training images."""
        masks, resume = self.painted(self.source), can_resume(self.segmenter)
        return segment(self.run, masks, self.segmenter, self.settings.segment, resume=resume).to_json()

    def predict(self, split: str) -> dict[str, Any]:
        """Predict the segmenter's masks of a split, without tags."""
        return predict(self.segmenter, [], self.predicted(split), self.settings.predict, split).to_json()

    def to_score(self) -> list[Path]:
        """Return the mask sets to score; test images are left for a final ``tag2mask evaluate``."""
        others = [] if self.validation is None else [self.painted(self.validation), self.predicted(self.validation)]
        return [self.painted(self.source), *([self.repainted] if self.repaints else []), *others]

    def evaluate(self) -> dict[str, Any]:
        """Score the mask sets that have truth."""
        rows = []
        for path in self.to_score():
            truth = self.truth_of(path)
            if truth is not None:
                place = path.relative_to(self.plan.out).as_posix()
                rows.append({"mask_set": place, "truth": str(truth), **evaluate(path, truth).to_json()})
        content = {"scores": rows}
        write_json(self.plan.out / SCORES, content)
        return content

    def truth_of(self, masks: Path) -> Path | None:
        """Return the folder of truth for a mask set, if the data set has any."""
        run = open_run(self.run)
        return own_truth(open_mask_set(masks), run.settings.data, run.own_data)

    def report(self) -> dict[str, Any]:
        """Write the page about the run and, if there is truth for its predictions, the segmenter."""
        section = None
        if self.validation is not None:
            masks = self.predicted(self.validation)
            if self.truth_of(masks) is not None:
                section = segmenter_section(self.run, masks, own=self.painted(self.validation)).html
        page = write_report(self.run, self.final, out=self.plan.out / REPORT, section=section)
        return {"report": str(page)}
