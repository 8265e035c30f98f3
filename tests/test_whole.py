"""The whole way in one call, on a few scenes of digits: what it leaves, how it goes on, what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import tag2mask
from command import call
from tag2mask import demo, whole
from tag2mask.data.digits import write_scenes
from tag2mask.errors import DataError, RunError, SettingsError
from tag2mask.masks.write import open_mask_set
from tag2mask.training.files import file_hash
from tag2mask.training.run import open_run
from tag2mask.whole import Plan, WholeResult, WholeSettings, epochs_of, read_whole_settings, run_whole

SETTINGS = {
    "train": {**demo.TRAIN, "epochs": 1},
    "segment": {"epochs": 1, "precision": "fp32"},
    "predict": {"overlay": False},
}
STAGES = ["check", "train", "masks", "segment", "predict val", "predict test", "masks val", "evaluate", "report"]
WORKERS = ("check", "train", "make_masks", "segment", "predict", "evaluate", "write_report")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes") / "scenes"
    write_scenes(root, {"train": 12, "val": 4, "test": 2})
    return root


@pytest.fixture(scope="module")
def finished(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole way, gone once; below it nothing may be changed."""
    out = tmp_path_factory.mktemp("finished") / "out"
    run_whole(plan(scenes, out))
    return out


def plan(data: Path, out: Path, **changes: object) -> Plan:
    return Plan(data, out, WholeSettings.parse({**SETTINGS, **changes}))


def let(monkeypatch: pytest.MonkeyPatch, *allowed: str) -> None:
    """Every stage but these fails."""
    for name in set(WORKERS) - set(allowed):
        monkeypatch.setattr(whole, name, lambda *_, name=name, **__: pytest.fail(f"{name} was called"))


def test_everything_is_where_it_is_said_to_be(finished: Path) -> None:
    stages = json.loads((finished / "done.json").read_text())
    assert list(stages) == STAGES
    assert stages["check"]["splits"] == {"test": 2, "train": 12, "val": 4}
    for place, count, tags in (
        ("run/masks-train", 12, "given"),
        ("run/masks-val", 4, "predicted"),
        ("predicted-val", 4, "predicted"),
        ("predicted-test", 2, "predicted"),
    ):
        masks = open_mask_set(finished / place)
        assert (len(masks.names()), masks.manifest["settings"]["tags"]) == (count, tags)
        assert masks.manifest["truth_used"] == "none"
    rows = json.loads((finished / "scores.json").read_text())["scores"]
    assert [row["mask_set"] for row in rows] == ["run/masks-train", "run/masks-val", "predicted-val"]
    assert all(row["random_miou"] is not None for row in rows)
    page = (finished / "report.html").read_text()
    assert "<h2>Segmenter</h2>" in page
    assert "run/masks-train" not in page


def test_a_second_call_does_nothing(
    scenes: Path, finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: file_hash(path) for path in finished.rglob("*") if path.is_file()}
    let(monkeypatch)
    result = run_whole(plan(scenes, finished))
    assert {path: file_hash(path) for path in finished.rglob("*") if path.is_file()} == before
    assert len(result.scores) == 3
    said = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:2] for line in said] == [[stage, "finished before, " + line.split(", ", 1)[1]] for stage, line in zip(STAGES, said, strict=True)]


def test_what_is_missing_is_made_again(
    scenes: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    (out / "report.html").unlink()
    shutil.rmtree(out / "run/masks-val")
    let(monkeypatch, "make_masks", "evaluate", "write_report")
    assert run_whole(plan(scenes, out)).scores == json.loads((finished / "scores.json").read_text())["scores"]
    assert (out / "report.html").exists()


@pytest.mark.parametrize("stage", ["train", "make_masks", "segment", "predict", "evaluate"])
def test_after_a_stage_failed_the_same_call_goes_on(
    scenes: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(whole, stage, fail)
        with pytest.raises(KeyboardInterrupt):
            run_whole(plan(scenes, out))
    done = json.loads((out / "done.json").read_text())
    let(monkeypatch, *WORKERS[WORKERS.index(stage) :], "make_masks")
    result = run_whole(plan(scenes, out))
    assert list(done) == STAGES[: len(done)]
    assert result.scores == json.loads((finished / "scores.json").read_text())["scores"]


def test_a_training_that_was_stopped_goes_on_where_it_was(scenes: Path, tmp_path: Path) -> None:
    """Stopped after its first epoch, and another before its first state."""
    twice = {**SETTINGS["train"], "epochs": 2}
    ...


def test_another_request_on_the_same_folder_is_an_error(scenes: Path, finished: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(scenes, tmp_path / "other"))
    for request, message in (
        (plan(other, finished), r"was begun with data = .*scenes, not .*other; choose another --out or delete it"),
        (plan(scenes, finished, masks={"flip": True}), r"was begun with masks.flip = its default, not True"),
        (Plan(scenes, finished, WholeSettings.parse(SETTINGS), quick=True), "was begun with quick = False, not True"),
        (plan(scenes, finished, masks={"split": "val"}), r"masks\.split: the photographs that are learned from"),
    ):
        with pytest.raises((RunError, SettingsError), match=message):
            run_whole(request)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(RunError, match="is not empty; choose another --out or delete it"):
        run_whole(plan(scenes, tmp_path))


def test_before_anything_was_learned_the_request_may_change(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {**demo.TRAIN, "weights": str(tmp_path / "none.safetensors")}
    with pytest.raises(tag2mask.errors.WeightsError):
        run_whole(plan(scenes, tmp_path / "out", train=wrong))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["done.json", "plan.json"]
    let(monkeypatch, "check")
    monkeypatch.setattr(whole, "train", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run_whole(plan(scenes, tmp_path / "out"))


def test_what_check_finds_stops_it_before_anything_is_made(scenes: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(scenes, tmp_path / "data"))
    (data / "images/val_0000.png").unlink()
    with pytest.raises(DataError, match=r"val_0000\.png is not in .*; .* \(1 more: tag2mask check .*data\)"):
        run_whole(plan(data, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_without_truth_and_without_lists_it_says_what_it_could_not_do(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(scenes, tmp_path / "data"))
    shutil.rmtree(data / "masks")
    shutil.rmtree(data / "splits")
    result = tag2mask.run(data, tmp_path / "out", **SETTINGS)
    assert isinstance(result, WholeResult)
    assert result.scores == []
    assert len(open_mask_set(tmp_path / "out/run/masks-train").names()) == 18
    assert "<h2>Segmenter" not in (tmp_path / "out/report.html").read_text()
    given = [f"--set=train.{key}={value}" for key, value in ()]
    assert given == []


def test_quick_is_few_epochs_and_small_crops_where_nothing_else_was_asked_for(tmp_path: Path) -> None:
    given = read_whole_settings("linear", None, "none", 3, ["segment.epochs=2", "train.method.x=1"])
    assert given.train.method_settings == {"x": 1}
    assert (given.train.seed, given.segment.seed) == (3, 3)
    quick = Plan(tmp_path, tmp_path, given, quick=True).settings(354)
    assert (quick.train.epochs, quick.train.backbone.image_size, quick.segment.epochs) == (5, 126, 2)
    assert (quick.train.method, quick.predict.overlay) == ("linear", True)
    usual = Plan(tmp_path, tmp_path, given).settings(354)
    assert (usual.train.epochs, usual.train.backbone.image_size) == (10, 224)
    default = given.train
    assert [epochs_of(2100, count, default) for count in (0, 20, 354, 1000, 10**6)] == [10, 10, 5, 2, 1]
    with pytest.raises(SettingsError, match=r"unknown setting trian; did you mean train\.seed"):
        read_whole_settings(None, None, None, None, ["trian.epochs=1"])


def test_the_verb_tells_scores_beside_chance_and_what_is_where(
    scenes: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ...
