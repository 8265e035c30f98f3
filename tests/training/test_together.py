from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import processes
from squares import SMALL, write_squares
from tag2mask import train
from tag2mask.errors import RunError, SettingsError
from tag2mask.training.together import MISSED, TICK, Watch

MINUTE = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a scenario works, beside 7 images to learn from and 4 to validate with."""
    write_squares(tmp_path / processes.DATA, count=11, background=True)
    (tmp_path / "two").mkdir()
    return tmp_path / "two"


def all_ended(started: list[Any]) -> list[tuple[int, str]]:
    """Exit codes and what was said."""
    said = [process.communicate(timeout=240)[1] for process in started]
    return [(process.returncode, text) for process, text in zip(started, said, strict=True)]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_learn_as_one_with_the_same_batch(folder: Path) -> None:
    """Of 7 images in batches of 6 the last is one: a process has none of its own then."""
    for code, said in all_ended(processes.start(2, "learn", folder)):
        assert code == 0, said
    processes.learn(folder.parent / "one", batch_size=6)
    for part in ("run", *processes.LOSSES):
        two, one = rows(folder / part), rows(folder.parent / "one" / part)
        for a, b in zip(two, one, strict=True):
            assert a.keys() == b.keys()
            for key in a.keys() - {"seconds"}:
                assert a[key] == pytest.approx(b[key], abs=1e-5), key
        a, b = (load_file(root / part / "model.safetensors") for root in (folder, folder.parent / "one"))
        for key in a:
            torch.testing.assert_close(a[key], b[key], atol=2e-4, rtol=1e-3)
    with pytest.raises(RunError, match="was trained with 2 processes, not 1; resume with 2"):
        train(folder.parent / processes.DATA, folder / "run", resume=True, **settings_of(folder / "run"))


def test_two_processes_contrast_as_one_with_the_same_batch(folder: Path) -> None:
    """Local crops and the teacher are those of one process."""
    for code, said in all_ended(processes.start(2, "contrast", folder)):
        assert code == 0, said
    processes.contrast(folder.parent / "one", batch_size=6)
    for a, b in zip(rows(folder / "run"), rows(folder.parent / "one/run"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
    assert all(abs(term) > 1e-3 for term in rows(folder / "run")[0]["loss"].values())
    a, b = (load_file(root / "run/state.safetensors") for root in (folder, folder.parent / "one"))
    for key in a:
        if key.startswith("model."):
            torch.testing.assert_close(a[key], b[key], atol=2e-4, rtol=1e-3)


def test_two_processes_train_a_method_some_of_whose_weights_get_no_gradient(folder: Path) -> None:
    for code, said in all_ended(processes.start(2, "leave_out", folder)):
        assert code == 0, said
    assert [row["epoch"] for row in rows(folder / "run")] == [1, 2]
    weights = load_file(folder / "run/model.safetensors")
    assert torch.equal(weights["vit.norm.weight"], torch.ones(24))


def test_two_processes_learn_a_walk_as_one_with_the_same_batch(folder: Path) -> None:
    data = folder.parent / processes.DATA
    train(data, folder.parent / "run", **{**SMALL, "epochs": 1})
    for code, said in all_ended(processes.start(2, "walk", folder)):
        assert code == 0, said
    (folder.parent / "one").mkdir()
    processes.walk(folder.parent / "one", batch_size=6)
    for a, b in zip(rows(folder / "walk"), rows(folder.parent / "one/walk"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
    a, b = (load_file(root / "walk/walk.safetensors") for root in (folder, folder.parent / "one"))
    for key in a:
        torch.testing.assert_close(a[key], b[key], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_a_model_in_parts_is_refused(squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{kind}", "true")
    with pytest.raises(
        SettingsError, match=f"ACCELERATE_USE_{kind} is set, but every process must hold the whole model"
    ):
        train(squares, tmp_path / "run", **SMALL)
    assert not (tmp_path / "run").exists()


def settings_of(run: Path) -> dict[str, Any]:
    from tag2mask.training.run import open_run

    return open_run(run).settings.model_dump()


def test_ctrl_c_for_one_process_ends_both_and_they_resume_bit_for_bit(folder: Path) -> None:
    for code, said in all_ended(processes.start(2, "interrupted", folder)):
        assert code == 0, said
    for rank in (0, 1):
        assert json.loads((folder / f"ended-{rank}.json").read_text()) == {"by": "Ctrl-C", "saved": True}
    whole, halved = (load_file(folder / name / "model.safetensors") for name in ("whole", "halved"))
    assert all(torch.equal(whole[key], halved[key]) for key in whole)
    assert [row["loss"] for row in rows(folder / "whole")] == [row["loss"] for row in rows(folder / "halved")]


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_lost_process_ends_the_other_with_a_message(folder: Path, how: str) -> None:
    first, second = processes.start(2, how, folder)
    try:
        while not (folder / "run/config.yaml").exists():
            assert first.poll() is None, first.communicate()[1]
            time.sleep(0.05)
        begun = time.monotonic()
        said = first.communicate(timeout=240)[1]
        assert time.monotonic() - begun < MINUTE
    finally:
        second.send_signal(signal.SIGKILL)
        second.communicate()
    assert first.returncode == 2
    line = said.splitlines()[-1]
    assert line.startswith("error: ")
    assert "process" in line
    assert "of this training ended" in line
    assert "Traceback" not in said


def test_a_process_is_gone_when_its_signs_stop_and_not_before_they_began() -> None:
    store = torch.distributed.HashStore()
    one, other = Watch(store, 0, 2), Watch(store, 1, 2)
    assert [one.look(tick) for tick in range(3 * MISSED)] == [None] * 3 * MISSED
    for tick in range(3 * MISSED):
        assert other.look(tick) is None
        assert one.look(tick) is None
    found = [one.look(0) for _ in range(MISSED)]
    assert found == [None] * (MISSED - 1) + ["process 1"]
    assert (MISSED + 2) * TICK < MINUTE
