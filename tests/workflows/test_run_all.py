"""The whole way in one call, on a few scenes of digits: what it leaves, how it goes on, what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path

import pytest

import tag2mask
from command import call
from tag2mask.errors import DataError, RunError, SettingsError, WeightsError
from tag2mask.files import file_hash
from tag2mask.masks.write import open_mask_set
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.settings import flat
from tag2mask.shown import say
from tag2mask.synthetic.digits import write_scenes
from tag2mask.training.interrupt import Interrupt
from tag2mask.workflows import demo
from tag2mask.workflows import run as whole
from tag2mask.workflows.plan import Plan
from tag2mask.workflows.run import run_whole
from tag2mask.workflows.settings import WholeSettings

BACKBONE = {**demo.TRAIN["backbone"], "image_size": 32, "width": 24, "depth": 2}
SETTINGS = {
    "train": {**demo.TRAIN, "backbone": BACKBONE, "epochs": 1, "batch_size": 4},
    "masks": {"refine": {"names": "probe,crf"}},
    "segment": {"epochs": 1, "batch_size": 4, "precision": "fp32"},
    "predict": {"overlay": False},
}
STAGES = [
    "check",
    "train",
    "probe",
    "masks train",
    "segment",
    "repaint train",
    "predict val",
    "predict test",
    "masks val",
    "evaluate",
    "report",
]
WORKERS = ("check", "train", "add_probe", "make_masks", "segment", "predict", "evaluate", "write_report")


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
        ("masks-train", 12, "given"),
        ("run/masks-val", 4, "predicted"),
        ("predicted-val", 4, "predicted"),
        ("predicted-test", 2, "predicted"),
    ):
        masks = open_mask_set(finished / place)
        assert (len(masks.names()), masks.manifest["settings"]["tags"]) == (count, tags)
        assert masks.manifest["truth_used"] == "none"
    rows = json.loads((finished / "scores.json").read_text())["scores"]
    assert [row["mask_set"] for row in rows] == ["run/masks-train", "masks-train", "run/masks-val", "predicted-val"]
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
    assert len(result.scores) == 4
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(": already finished, ")[0] for line in said] == STAGES


def test_what_is_missing_is_made_again(
    scenes: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    (out / "report.html").unlink()
    shutil.rmtree(out / "run/masks-val")
    let(monkeypatch, "make_masks", "evaluate", "write_report")
    assert run_whole(plan(scenes, out)).scores == json.loads((finished / "scores.json").read_text())["scores"]
    assert (out / "report.html").exists()


def test_stopped_anywhere_the_same_call_goes_on_and_comes_to_the_same(
    scenes: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, request = tmp_path / "out", plan(scenes, tmp_path / "out")
    for stage in ("train", "add_probe", "make_masks", "segment", "predict", "evaluate"):
        with monkeypatch.context() as patched:
            if stage in ("train", "segment"):  # Ctrl-C in the first step
                patched.setattr(Interrupt, "asked", True, raising=False)
                patched.setattr(Interrupt, "signal", signal.SIGINT, raising=False)
                patched.setattr(Interrupt, "__init__", lambda self: None)
            else:
                patched.setattr(whole, stage, interrupted)
            let(patched, "make_masks", *WORKERS[max(WORKERS.index(stage) - 1, 0) :])
            with pytest.raises(KeyboardInterrupt):
                run_whole(request)
        done = list(json.loads((out / "done.json").read_text()))
        assert done == STAGES[: len(done)]
    assert run_whole(request).scores == json.loads((finished / "scores.json").read_text())["scores"]
    for weights in ("run/model.safetensors", "segmenter/model.safetensors"):
        assert file_hash(out / weights) == file_hash(finished / weights)


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_another_request_on_the_same_folder_is_an_error(scenes: Path, finished: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(scenes, tmp_path / "other"))
    for request, message in (
        (plan(other, finished), r"was begun with data = .*scenes, not .*other; choose another --out or delete it"),
        (
            plan(scenes, finished, masks={**SETTINGS["masks"], "flip": True}),
            r"was begun with masks.look.flip = its default, not True",
        ),
        (Plan(scenes, finished, WholeSettings.parse(SETTINGS), quick=True), "was begun with quick = False, not True"),
        (plan(scenes, finished, masks={"refine": "pamrr"}), "'pamrr' is unknown"),
        (plan(scenes, finished, masks={"split": "val"}), r"masks\.split cannot be set: the training images"),
    ):
        with pytest.raises((RunError, SettingsError), match=message):
            run_whole(request)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(RunError, match="is not empty; choose another --out or delete it"):
        run_whole(plan(scenes, tmp_path))


def test_what_nothing_was_made_with_yet_may_change(
    scenes: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "half"))
    for made in (*out.glob("predicted-*"), out / "segmenter"):
        shutil.rmtree(made)
    with monkeypatch.context() as patched:
        patched.setattr(whole, "segment", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_whole(plan(scenes, out, segment={"epochs": 3}))
    assert json.loads((out / "plan.json").read_text())["segment"] == {"epochs": 3}
    wrong = {**SETTINGS["train"], "weights": str(tmp_path / "none.safetensors")}
    with pytest.raises(WeightsError, match="does not exist"):
        run_whole(plan(scenes, tmp_path / "out", train=wrong))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["done.json", "plan.json"]
    let(monkeypatch, "check")
    monkeypatch.setattr(whole, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_whole(plan(scenes, tmp_path / "out"))
    assert json.loads((tmp_path / "out/plan.json").read_text())["train"]["weights"] == "none"


def test_what_check_finds_stops_it_before_anything_is_made(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(scenes, tmp_path / "data"))
    (data / "images/val_0000.png").unlink()
    with pytest.raises(DataError, match=r"val_0000\.png is not in .*; .* \(1 more: tag2mask check .*data\)"):
        run_whole(plan(data, tmp_path / "out"))
    assert call(monkeypatch, "run", data, "--out", tmp_path / "out") == 2
    assert re.match(r"error: .*val_0000\.png is not in", capsys.readouterr().err.splitlines()[-1])
    assert not (tmp_path / "out").exists()


def test_a_soft_target_learns_the_scores_of_masks_that_are_made_with_them(
    scenes: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished, tmp_path / "out")
    for made in ("segmenter", "masks-train", "predicted-val", "predicted-test", "run/masks-train", "run/masks-val"):
        shutil.rmtree(tmp_path / "out" / made)
    let(monkeypatch, "make_masks", "segment")
    with pytest.raises(pytest.fail.Exception, match="predict was called"):
        run_whole(plan(scenes, tmp_path / "out", segment={**SETTINGS["segment"], "target": "soft", "potts": 0.1}))
    masks = open_mask_set(tmp_path / "out/run/masks-train")
    assert len(masks.scores(masks.names())) == 12
    assert open_segmenter(tmp_path / "out/segmenter").origin["labels_used"].startswith("scores of mask set masks-train")


def test_without_truth_and_without_lists_all_is_made_but_scores(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = Path(shutil.copytree(scenes, tmp_path / "data")), tmp_path / "out"
    for folder in ("masks", "splits"):
        shutil.rmtree(data / folder)
    result = tag2mask.run(data, out, **SETTINGS)
    assert (list(result.stages), result.scores) == (
        ["check", "train", "probe", "masks train", "segment", "repaint train", "evaluate", "report"],
        [],
    )
    assert len(open_mask_set(out / "run/masks-train").names()) == 18
    assert "<h2>Segmenter" not in (out / "report.html").read_text()
    say(result.shown())
    *_, before, last = capsys.readouterr().out.splitlines()
    assert before.startswith("no scores")
    assert last.endswith(f"tag2mask view {out / 'masks-train'}")


def test_the_verb_tells_scores_beside_chance_and_what_is_where(
    scenes: Path, finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = flat({key: SETTINGS[key] for key in ("train", "masks", "segment", "predict")})
    settings = [f"--set={key}={json.dumps(value)}" for key, value in given.items()]
    let(monkeypatch)
    assert call(monkeypatch, "run", scenes, "--out", finished, *settings, "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [len(result["scores"]), result["predicted"]["test"]] == [4, str(finished / "predicted-test")]
    assert call(monkeypatch, "run", scenes, "--out", finished, *settings) == 0
    told = capsys.readouterr().out
    for part in (
        "at random",
        "precision",
        "recall",
        "predicted-val",
        "report.html",
        f"tag2mask predict {finished / 'segmenter'}",
    ):
        assert part in told
