"""Comparison of methods on a data set: each is trained for the same time, painted and scored; one table, one page."""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field
from safetensors import safe_open

from tag2mask.beginnings import require_begun_as, require_vacant
from tag2mask.data import open_dataset
from tag2mask.data.folder import images_folder, require_outside
from tag2mask.errors import RunError, SettingsError
from tag2mask.evaluation.evaluate import evaluate, own_truth
from tag2mask.evaluation.tables import html_table
from tag2mask.files import held, write_json
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import open_mask_set
from tag2mask.methods import method_settings
from tag2mask.painting.make import make_masks
from tag2mask.refine.chain import require_refiners
from tag2mask.refine.settings import WALK
from tag2mask.reports.comparison import write_comparison
from tag2mask.settings import Epochs
from tag2mask.shown import Shown
from tag2mask.stored import Count, Number, Stored, read_stored
from tag2mask.training.batches import EpochBatches
from tag2mask.training.checkpoint import STATE, can_resume
from tag2mask.training.interrupt import Interrupt
from tag2mask.training.loop import Material, Trainer, prepare_method
from tag2mask.training.run import CONFIG, MODEL, open_run
from tag2mask.training.settings import TrainSettings
from tag2mask.training.start import complete, open_validation
from tag2mask.workflows.children import run_verb

PLAN, ROW, RUN, MASKS = "plan.json", "row.json", "run", "masks"
WARM_UP, TIMED = 2, 3  # steps; TIMED is also the number of images to validate
COLUMNS = {  # columns and their numbers of digits
    "mIoU": 1,
    "precision": 1,
    "recall": 1,
    "val AP": 3,
    "minutes": 1,
    "peak MiB": 0,
    "million parameters": 1,
}


@dataclass(frozen=True)
class Comparison:
    """The plan of a comparison; ``train`` holds settings for every method, ``masks`` those of the mask sets."""

    data: Path
    out: Path
    methods: Sequence[str]
    seeds: Sequence[int]
    budget_minutes: float | None
    train: TrainSettings
    masks: MaskSettings

    def changed(self) -> dict[str, Any]:
        """Return the training settings that are not defaults."""
        return self.train.model_dump(mode="json", exclude_unset=True)

    def settings(self, method: str, seed: int, epochs: int | None) -> TrainSettings:
        """Return the training settings of one run; all methods train equally long unless ``more_epochs`` is set."""
        chosen = {"more_epochs": 0, **self.changed(), "method": method, "seed": seed}
        return TrainSettings.parse(chosen if epochs is None else {**chosen, "epochs": epochs})


@dataclass(frozen=True)
class ComparisonResult:
    """``table`` has one row per method, ``rows`` one per method and seed; ``report`` is the page with all of it."""

    table: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    report: str

    def to_json(self) -> dict[str, Any]:
        """Return the output for ``--json``."""
        return vars(self)

    def shown(self) -> Shown:
        """Return the output for people."""
        chance = self.table[0]["random_miou"]
        floor = "no truth for scoring" if chance is None else f"painting at random among the tags: {chance:.1f}"
        return [markdown(self.table), f"{floor}; page: {self.report}"]

    def _repr_html_(self) -> str:
        """Return the table as HTML, for notebooks."""
        lines = [
            {"method": line["method"], **{name: mean_and_deviation(line, name) for name in COLUMNS}}
            for line in self.table
        ]
        return html_table(lines)


class Planned(Stored):
    """The content of ``plan.json``."""

    budget_minutes: Number | None
    train: dict[str, Any]
    masks: dict[str, Any]
    epochs: dict[str, Epochs | None]


class MethodRow(Stored):
    """The measurements of one method with one seed; aliases are the table's columns."""

    method: str
    seed: Count
    epochs: Count
    miou: Number | None = Field(alias="mIoU")
    precision: Number | None = None
    recall: Number | None = None
    random_miou: Number | None
    val_ap: Number | None = Field(alias="val AP")
    minutes: Number
    peak: Number = Field(alias="peak MiB")
    parameters: Number = Field(alias="million parameters")


def compare(plan: Comparison) -> ComparisonResult:
    """Run the missing parts of a comparison.

    Raises:
        SettingsError: a method or a refiner is unknown or cannot be compared.
        DataError: the images cannot be used, or ``out`` is inside their folder.
        RunError: a training failed, or ``out`` holds another comparison.
    """
    for method in plan.methods:
        method_settings(method, {})
    if plan.masks.refine.uses(WALK):
        raise SettingsError("--refine walk: a walk is trained on the maps of one run; compare without it")
    require_refiners(plan.masks.refine.names or ())
    require_outside(plan.out, images_folder(plan.data))
    data = plan.train.data.completed(plan.data)
    images = open_dataset(plan.data, data, plan.masks.split)
    epochs = planned_epochs(plan)
    rows = []
    for seed in plan.seeds:
        for method in plan.methods:
            folder = plan.out / f"{method}-{seed}"
            with held(folder):
                require_method(folder / RUN, method)
                row = finished_row(folder) or measure_method(plan, method, seed, epochs[method], folder)
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)  # noqa: T201
    table = summary(rows)
    seed = plan.seeds[0]
    page = write_comparison(
        plan.out / "compare.html",
        [{**line, "cells": {name: mean_and_deviation(line, name) for name in COLUMNS}} for line in table],
        tuple(COLUMNS),
        list(images),
        {line["method"]: plan.out / f"{line['method']}-{seed}" / MASKS for line in table},
        find_truth(plan.out / f"{plan.methods[0]}-{seed}"),
        seed,
        data,
    )
    write_json(plan.out / "compare.json", {"rows": rows, "table": table})
    return ComparisonResult(table, rows, str(page))


def planned_epochs(plan: Comparison) -> dict[str, int | None]:
    """Return the epochs of every method: as many as fit in the budget by a short timing, kept in ``plan.json``.

    Raises:
        RunError: ``out`` was planned with another budget or other settings, or holds something else.
    """
    masks = plan.masks.model_dump(mode="json", exclude_unset=True)
    wanted = {"budget_minutes": plan.budget_minutes, "train": plan.changed(), "masks": masks}
    path = plan.out / PLAN
    if not path.is_file():
        require_vacant(plan.out)
    before: dict[str, Any] = read_stored(path, Planned).model_dump() if path.is_file() else wanted
    require_begun_as(plan.out, {key: before[key] for key in wanted}, wanted, missing="its default")
    epochs: dict[str, int | None] = before.get("epochs", {})
    for method in plan.methods:
        if method not in epochs:
            epochs[method] = None if plan.budget_minutes is None else epochs_in(plan, method)
            plan.out.mkdir(parents=True, exist_ok=True)
            write_json(path, {**wanted, "epochs": epochs})
    return {method: epochs[method] for method in plan.methods}


def epochs_in(plan: Comparison, method: str) -> int:
    """Return the number of epochs that fit in the budget, at least one, from timing a few steps and validations."""
    assert plan.budget_minutes is not None
    settings = complete(plan.settings(method, 0, 1), plan.data)
    images = open_dataset(plan.data, settings.data, settings.split)
    validation = open_validation(plan.data, settings)
    accelerator, model, settings, _ = prepare_method(settings, images.classes, "none")
    validated = validation[:TIMED]
    trainer = Trainer(accelerator, model, Material(images, validated, plan.data), settings, plan.out, Interrupt())
    batches = list(EpochBatches(len(trainer.images), settings.batch_size, settings.seed, epoch=0))
    timed = [batches[i % len(batches)] for i in range(WARM_UP + TIMED)]
    clock = [time.monotonic()]
    for batch in trainer.reader(timed):
        trainer.step(*batch)
        clock.append(time.monotonic())
    trainer.validate()
    looked = time.monotonic() - clock[-1]
    epoch = len(batches) * (clock[-1] - clock[WARM_UP]) / TIMED
    epoch += looked * len(validation) / max(len(trainer.validation), 1)
    return max(int(plan.budget_minutes * 60 / epoch), 1)


def require_method(run: Path, method: str) -> None:
    """Check that a run begun there uses the method, not one that had that name in an earlier version.

    Raises:
        RunError: it uses another method.
    """
    if (run / CONFIG).is_file() and (was := open_run(run).settings.method) != method:
        raise RunError(f"{run} was trained with the method now named {was}, not {method}; choose another --out")


def finished_row(folder: Path) -> dict[str, Any] | None:
    """Return the measurements of an earlier call, if it finished."""
    path = folder / ROW
    if not path.is_file():
        return None
    return read_stored(path, MethodRow).model_dump(by_alias=True)


def measure_method(plan: Comparison, method: str, seed: int, epochs: int | None, folder: Path) -> dict[str, Any]:
    """Train in a separate process, to measure its peak memory; paint; score if there is truth."""
    settings = plan.settings(method, seed, epochs)
    run = folder / RUN
    trained, peak = train_apart(plan.data, run, settings)
    masks = folder / MASKS
    made = make_masks(run, out=masks, settings=plan.masks)
    truth = find_truth(folder)
    scores = evaluate(made.path, truth).to_json() if truth else {}
    with safe_open(run / MODEL, "pt") as file:
        numbers = sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    row = {
        "method": method,
        "seed": seed,
        "epochs": trained["epochs"],
        "mIoU": scores.get("miou"),
        "precision": scores.get("precision"),
        "recall": scores.get("recall"),
        "random_miou": scores.get("random_miou"),
        "val AP": trained["best_ap"],
        "minutes": round(trained["seconds"] / 60, 2),
        "peak MiB": peak,
        "million parameters": round(numbers / 1e6, 3),
    }
    write_json(folder / ROW, row)
    (run / STATE).unlink()
    return row


def train_apart(data: Path, run: Path, settings: TrainSettings) -> tuple[dict[str, Any], int]:
    """Train, or resume training, in another process; return its result and its peak resident memory in MiB.

    Raises:
        RunError: it failed; its own message was printed before.
        KeyboardInterrupt, Terminated: it was stopped.
    """
    config = run.parent / "train.json"
    run.parent.mkdir(parents=True, exist_ok=True)
    write_json(config, settings.model_dump(mode="json", exclude_unset=True))  # JSON is valid YAML
    words = ["train", str(data), "--out", str(run), "--config", str(config), "--json", "--no-probe"]
    if can_resume(run):
        words.append("--resume")
    done = run_verb(words)
    if done.code:
        killed = f"was killed by signal {-done.code}, perhaps for lack of memory"
        how = killed if done.code < 0 else "failed, see above"
        raise RunError(f"training {settings.method} with seed {settings.seed} {how}; run compare again to resume")
    result: dict[str, Any] = json.loads(done.printed.splitlines()[-1])
    return result, round(done.memory / 1024)


def find_truth(folder: Path) -> Path | None:
    """Return the folder of truth for the masks in ``folder``, if the data set has any."""
    run = open_run(folder / RUN)
    return own_truth(open_mask_set(folder / MASKS), run.settings.data, run.own_data)


def summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per method: mean and standard deviation over seeds, best mIoU (or AP) first."""
    table = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        line: dict[str, Any] = {
            "method": method,
            "seeds": len(own),
            "epochs": own[0]["epochs"],
            "random_miou": own[0]["random_miou"],
        }
        for column in COLUMNS:
            values = [row[column] for row in own if row[column] is not None]
            line[column] = statistics.mean(values) if values else None
            line[f"{column} sd"] = statistics.stdev(values) if len(values) > 1 else None
        table.append(line)
    return sorted(table, key=lambda line: -(line["mIoU"] if line["mIoU"] is not None else line["val AP"] or 0.0))


def markdown(table: Sequence[Mapping[str, Any]]) -> str:
    """Return the table in Markdown."""
    lines = [f"| method | seeds | epochs | {' | '.join(COLUMNS)} |", "|---" * (3 + len(COLUMNS)) + "|"]
    for line in table:
        cells = [mean_and_deviation(line, column) for column in COLUMNS]
        lines.append(f"| {line['method']} | {line['seeds']} | {line['epochs']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def mean_and_deviation(line: Mapping[str, Any], column: str) -> str:
    """Format a mean and its standard deviation."""
    mean, deviation, digits = line[column], line[f"{column} sd"], COLUMNS[column]
    if mean is None:
        return "-"
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}" if deviation else f"{mean:.{digits}f}"
