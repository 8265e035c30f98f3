"""Training as users start it on several devices: ``accelerate launch``, here with two processes on CPUs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from command import SMALL, call
from squares import write_squares

EPOCHS = 20
# Nothing random depends on the process.
WORDS = [
    *SMALL[:-2],
    "--precision=fp32",
    "--set=backbone.drop_path=0",
    "--epochs",
    EPOCHS,
]
LAUNCH = ["accelerate", "launch", "--multi_gpu", "--num_processes=2", "--num_machines=1", "--mixed_precision=no"]
LAUNCH += ["--dynamo_backend=no", "--main_process_port=0", "-m", "tag2mask"]

# Every Python process imports this module when it starts: it notes what processes other than the first write or change.
NOTES = """
import os, sys

WATCHED, NOTES = os.environ["WATCHED"], os.environ["NOTES"]

def note(event, arguments):
    if event == "open" and not (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")):
        return
    if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink"):
        if any(str(one).startswith(WATCHED) for one in arguments[:2]):
            with open(NOTES, "a") as file:
                file.write(os.environ["RANK"] + " " + event + " " + str(arguments[0]) + chr(10))

if "RANK" in os.environ:
    sys.addaudithook(note)
"""


def launched(words: list[Any], folder: Path) -> subprocess.Popen[str]:
    """A training by ``accelerate launch`` in a folder whose changes are noted."""
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site/sitecustomize.py").write_text(NOTES)
    added = {
        "ACCELERATE_USE_CPU": "1",
        "OMP_NUM_THREADS": "1",
        "WATCHED": str(folder / "two"),
        "NOTES": str(folder / "notes"),
    }
    added["PYTHONPATH"] = os.pathsep.join([str(folder / "site"), *sys.path])
    command = [str(Path(sys.executable).with_name("accelerate")), *LAUNCH[1:], *map(str, words)]
    return subprocess.Popen(command, env=os.environ | added, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_two_launched_processes_that_were_stopped_learn_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights differ by at most 2e-4 + 1e-3 of their size, since sums are rounded in another order; metrics by 1e-5."""
    data = write_squares(tmp_path / "data", count=11, background=True)
    words = ["train", data, f"--out={tmp_path / 'two'}", *WORDS, "--batch-size=3"]
    first = launched(words, tmp_path)
    while not (tmp_path / "two/metrics.jsonl").exists():
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    assert first.communicate(timeout=240)[1]
    assert first.returncode != 0
    assert 0 < len(rows(tmp_path / "two")) < EPOCHS
    second = launched([*words, "--resume"], tmp_path)
    result, said = second.communicate(timeout=240)
    assert second.returncode == 0, said
    assert result.count(str(tmp_path / "two")) == 1, result  # the first process alone printed

    assert call(monkeypatch, "train", data, f"--out={tmp_path / 'one'}", *WORDS, "--batch-size=6") == 0
    for two, one in zip(rows(tmp_path / "two"), rows(tmp_path / "one"), strict=True):
        assert two["step"] == one["step"]
        for key in ("loss", "val_ap", "val_f1", "lr"):
            assert two[key] == pytest.approx(one[key], abs=1e-5), key
    two, one = (load_file(tmp_path / name / "model.safetensors") for name in ("two", "one"))
    assert two.keys() == one.keys()
    for key in two:
        torch.testing.assert_close(two[key], one[key], atol=2e-4, rtol=1e-3)

    writers = {line.split()[0] for line in (tmp_path / "notes").read_text().splitlines()}
    assert writers == {"0"}  # the first process alone wrote
