from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer
from trees import TREES
from trees_published import write_voc

from command import call
from tag2mask.cli import app
from tag2mask.data.sources import SOURCES, open_source
from tag2mask.errors import RunError, SettingsError
from tag2mask.presets import preset_names
from tag2mask.reproduction import PUBLISHED, Reproduction

TINY = {
    "backbone.name": "vit_tiny_patch16_224",
    "backbone.image_size": 16,
    "backbone.patch": 8,
    "backbone.width": 12,
    "backbone.depth": 3,
    "backbone.heads": 2,
    "weights": "none",
    "epochs": 1,
    "batch_size": 4,
    "precision": "fp32",
}
OPTIONS = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_command_is_one(name: str, tmp_path: Path) -> None:
    row = PUBLISHED[name]
    assert row.source in SOURCES
    assert row.preset in preset_names()
    commands = typer.main.get_command(app).commands
    for line in Reproduction(name, tmp_path, tmp_path / "out").lines():
        tool, verb, *words = shlex.split(line)
        assert tool == "tag2mask"
        commands[verb].make_context(verb, words)  # raises where an option is unknown


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_lists_are_the_sources(name: str, tmp_path: Path) -> None:
    row = PUBLISHED[name]
    splits = open_source(row.source, TREES[row.source](tmp_path).root, {}).splits
    assert {row.learn, row.split, *(["val"] if row.validate else [])} <= set(splits)


def test_a_row_is_run_and_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    plan = Reproduction("mctformer-table5-v1", write_voc(tmp_path / "voc").root, tmp_path / "out", OPTIONS)
    result = plan.go()
    ours = result["results"]["miou"]
    assert ours["published"] == 55.2
    assert ours["difference"] == pytest.approx(ours["ours"] - 55.2, abs=0.01)
    made = (tmp_path / "out" / "run" / "model.safetensors").stat().st_mtime_ns
    assert plan.go() == result
    assert (tmp_path / "out" / "run" / "model.safetensors").stat().st_mtime_ns == made


def test_what_goes_wrong_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plan = Reproduction("tokenmasking-table1-val", tmp_path / "none", tmp_path / "out")
    with pytest.raises(RunError, match="stopped with exit code 2 at: tag2mask prepare voc --root "):
        plan.go()
    assert "there is no such folder; expected: " in capfd.readouterr().err
    with pytest.raises(SettingsError, match="row 'table9' is unknown"):
        Reproduction("table9", tmp_path, tmp_path).lines()


def test_the_verb_lists_rows_and_prints_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "reproduce") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in PUBLISHED)
    assert call(monkeypatch, "reproduce", "weaktr-cam-voc", "--root", "VOC", "--set", "epochs=3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["prepare", "train", "masks", "evaluate"]
    assert lines[1].endswith("--set val_split=val --set epochs=3")
