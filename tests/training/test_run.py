from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tag2mask.errors import RunError
from tag2mask.prediction.predict import open_predictor
from tag2mask.prediction.settings import PredictSettings
from tag2mask.training.checkpoint import load_state
from tag2mask.training.run import open_run, read_metrics


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")


def test_a_run_before_its_first_epoch_has_no_metrics(run: Path) -> None:
    assert [row["epoch"] for row in read_metrics(run)] == [1, 2]
    emptied(run / "metrics.jsonl")
    assert read_metrics(run) == []


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (name, damage)
        for name in ("config.yaml", "classes.json", "model.safetensors", "metrics.jsonl")
        for damage in (cut, emptied, no_text)
        if (name, damage) != ("metrics.jsonl", emptied)
    ],
)
def test_a_damaged_file_of_a_run_is_named(run: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(run / name)
    opened = {"metrics.jsonl": read_metrics, "model.safetensors": lambda run: open_run(run).load_method()}
    with pytest.raises(RunError) as error:
        opened.get(name, open_run)(run)
    assert str(error.value).startswith(f"{run / name} is damaged (")
    assert str(error.value).endswith(f"); put back a whole copy, or make {run} again")
    assert "\n" not in str(error.value)


def test_what_the_config_lacks_is_named(run: Path) -> None:
    (run / "config.yaml").write_text("settings: {}\n")
    with pytest.raises(RunError, match=r"config\.yaml is damaged \('data' is missing\)"):
        open_run(run)
    (run / "classes.json").write_text(json.dumps({"names": ["red"]}))
    with pytest.raises(RunError, match=r"classes\.json is damaged \('background' is missing\)"):
        open_run(run)


def test_weights_of_another_model_are_said_in_our_own_words(run: Path) -> None:
    save_file({"vit.norm.weight": torch.ones(3)}, run / "model.safetensors")
    message = r"model\.safetensors does not fit the model: \d+ of \d+ tensors differ, \S+ first \(missing in the file, "
    with pytest.raises(RunError, match=message):
        open_run(run).load_method()


def test_classes_that_were_changed_do_not_fit_the_weights(run: Path) -> None:
    (run / "classes.json").write_text(json.dumps({"names": ["red", "green"], "background": None}))
    with pytest.raises(
        RunError, match=r"tensors differ, .* first \(\(3,\) float32 in the file, \(2,\) float32 in the model\)"
    ):
        open_run(run).load_method()


def test_the_state_of_another_model_is_no_traceback(run: Path) -> None:
    method = open_run(run).load_method()
    optimiser = torch.optim.AdamW(method.parameters())
    state = load_file(run / "state.safetensors")
    save_file({key: state[key] for key in list(state)[3:]}, run / "state.safetensors", {"progress": "{}"})
    with pytest.raises(RunError, match=r"state\.safetensors does not fit the model"):
        load_state(run, method, optimiser)


@pytest.mark.parametrize("name", ["config.yaml", "classes.json", "model.safetensors"])
def test_a_damaged_file_of_a_segmenter_is_named(student: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "student"
    copy.mkdir()
    for path in student.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    cut(copy / name)
    with pytest.raises(RunError, match=rf"student/{name} is damaged \("):
        open_predictor(copy, PredictSettings())
