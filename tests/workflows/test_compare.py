"""Comparing methods: every method through the whole of it, on generated squares."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from command import call
from tag2mask import train
from tag2mask.errors import RunError, SettingsError
from tag2mask.evaluation.evaluate import evaluate
from tag2mask.masks.settings import MaskSettings
from tag2mask.methods import METHODS
from tag2mask.training.settings import TrainSettings, with_epochs
from tag2mask.workflows import compare as module
from tag2mask.workflows.compare import Comparison, ComparisonResult, compare, epochs_in, markdown, summary

TRAIN = TrainSettings.parse(
    {
        "backbone": {"name": "vit_tiny_patch16_224", "image_size": 32, "patch": 8, "width": 24, "depth": 3, "heads": 3},
        "weights": "none",
        "epochs": 1,
        "batch_size": 4,
    }
)


def plan(data: Path, out: Path, methods: tuple[str, ...], budget: float | None = None) -> Comparison:
    return Comparison(data, out, methods, (0, 1), budget, TRAIN, MaskSettings())


def test_a_comparison_is_a_table_and_a_page_and_goes_on(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = compare(plan(squares, tmp_path / "out", ("linear",)))
    assert [line["method"] for line in result.table] == ["linear"]
    assert (result.table[0]["seeds"], result.table[0]["epochs"]) == (2, 1)
    assert result.table[0]["peak MiB"] > 100
    assert [row["random_miou"] for row in result.rows] == [result.table[0]["random_miou"]] * 2
    masks = tmp_path / "out/linear-0/masks"
    scores = evaluate(masks, squares / "masks").to_json()
    assert [result.rows[0][name] for name in ("precision", "recall")] == [scores["precision"], scores["recall"]]
    assert "| mIoU | precision | recall |" in markdown(result.table)
    page = Path(result.report).read_text(encoding="utf-8")
    assert page.count("<img") == 8 * 3  # image, truth, one method
    assert "http" not in page
    monkeypatch.setattr(module, "train_apart", lambda *_: pytest.fail("made again"))
    assert compare(plan(squares, tmp_path / "out", ("linear",))).rows == result.rows
    with pytest.raises(RunError, match=r"was begun with budget_minutes = None, not 1\.0"):
        compare(plan(squares, tmp_path / "out", ("linear",), 1.0))
    painted = Comparison(squares, tmp_path / "out", ("linear",), (0, 1), None, TRAIN, MaskSettings(flip=True))
    with pytest.raises(RunError, match=r"was begun with masks.look.flip = its default, not True"):
        compare(painted)
    assert json.loads((tmp_path / "out/compare.json").read_text())["table"] == result.table
    assert markdown(result.table).count("\n") == 2


@pytest.mark.parametrize(
    ("chance", "line"), [(None, "no truth for scoring; page: p"), (25.0, "painting at random among the tags: 25.0; ")]
)
def test_without_truth_chance_is_not_told(
    chance: float | None, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"method": "linear", "seed": 0, "epochs": 1, "mIoU": chance, "random_miou": chance, "val AP": 0.5}
    row |= {"precision": chance, "recall": chance, "minutes": 1.0, "peak MiB": 900, "million parameters": 5.5}
    result = ComparisonResult(summary([row]), [row], "p")
    monkeypatch.setattr(module, "compare", lambda _: result)
    assert call(monkeypatch, "compare", "data", "--out", "out", "--methods", "linear") == 0
    printed = capsys.readouterr().out
    assert line in printed
    assert "None" not in printed


def test_a_row_without_precision_was_measured_before_it_was_kept(tmp_path: Path) -> None:
    row = {"method": "linear", "seed": 0, "epochs": 1, "mIoU": 50.0, "random_miou": 30.0, "val AP": 0.5}
    (tmp_path / "row.json").write_text(json.dumps(row | {"minutes": 1, "peak MiB": 100, "million parameters": 1.0}))
    found = module.finished_row(tmp_path)
    assert found is not None
    [line] = summary([found])
    assert (line["mIoU"], line["precision"], line["recall"]) == (50.0, None, None)
    assert "| 50.0 | - | - | 0.500 |" in markdown([line])


def test_a_training_that_was_killed_is_told_from_one_that_failed(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "killed"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o700)
    monkeypatch.setattr(module.sys, "executable", str(killed))
    with pytest.raises(RunError, match="seed 0 was killed by signal 9, perhaps for lack of memory; run compare again"):
        compare(plan(squares, tmp_path / "out", ("linear",)))


def test_unknown_methods_are_named_before_anything_is_made(squares: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'weaktor' is unknown; choose one of attended, "):
        compare(plan(squares, tmp_path / "out", ("linear", "weaktor")))
    for refine, message in (("walk", "trained on the maps of one run"), ("pamrr", "'pamrr' is unknown")):
        masks = MaskSettings.parse({"refine": refine})
        with pytest.raises(SettingsError, match=message):
            compare(Comparison(squares, tmp_path / "out", ("linear",), (0,), None, TRAIN, masks))
    assert not (tmp_path / "out").exists()


def test_a_run_of_an_earlier_method_of_that_name_is_no_row_of_this_one(
    squares: Path, tmp_path: Path, small: dict[str, object]
) -> None:
    """What 0.1 called tokenmasking is attended now."""
    train(squares, tmp_path / "out/tokenmasking-0/run", **small, method="attended")
    (tmp_path / "out/plan.json").write_text('{"budget_minutes": null, "train": {}, "masks": {}, "epochs": {}}')
    begun = Comparison(squares, tmp_path / "out", ("tokenmasking",), (0,), None, TrainSettings(), MaskSettings())
    with pytest.raises(RunError, match=r"the method now named attended, not tokenmasking; choose another --out"):
        compare(begun)


@pytest.mark.parametrize("method", METHODS)
def test_a_budget_becomes_whole_epochs(squares: Path, tmp_path: Path, method: str) -> None:
    short = epochs_in(plan(squares, tmp_path, (method,), 1e-6), method)
    long = epochs_in(plan(squares, tmp_path, (method,), 1.0), method)
    assert short == 1
    assert long > 1


@pytest.mark.parametrize(("given", "more"), [({}, 0), ({"more_epochs": 3}, 3)])
def test_hard_tags_get_no_more_epochs_unless_asked(tmp_path: Path, given: dict[str, int], more: int) -> None:
    """A method that learns slowly would be trained longer than the others."""
    compared = Comparison(tmp_path, tmp_path, ("linear",), (0,), None, TrainSettings.parse(given), MaskSettings())
    assert with_epochs(compared.settings("linear", 0, None), 437).more_epochs == more


def test_windows_is_refused_in_one_line(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "wait4")
    with pytest.raises(RunError, match=r"train cannot run as a part of another command on Windows; see docs/windows"):
        compare(plan(squares, tmp_path / "compared", ("linear",)))
