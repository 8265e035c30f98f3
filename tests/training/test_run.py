from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tag2mask import make_masks
from tag2mask.errors import RunError
from tag2mask.prediction.predict import open_predictor
from tag2mask.prediction.settings import PredictSettings
from tag2mask.training.checkpoint import load_state
from tag2mask.training.loop import train
from tag2mask.training.run import open_run, read_metrics

Change = Callable[[dict[str, torch.Tensor], dict[str, object]], object]


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
    assert str(error.value).endswith(f"); restore an intact copy, or create {run} again")
    assert "\n" not in str(error.value)


def test_what_the_config_lacks_is_named(run: Path) -> None:
    (run / "config.yaml").write_text("settings: {}\n")
    with pytest.raises(RunError, match=r"config\.yaml is damaged \('data' is missing\)"):
        open_run(run)
    (run / "classes.json").write_text(json.dumps({"names": ["red"]}))
    with pytest.raises(RunError, match=r"classes\.json is damaged \('background' is missing\)"):
        open_run(run)


def test_weights_that_hold_what_is_no_number_are_damage(run: Path) -> None:
    tensors = load_file(run / "model.safetensors")
    tensors["head.bias"][1] = torch.inf
    save_file(tensors, run / "model.safetensors")
    with pytest.raises(RunError, match=r"is damaged \(head\.bias holds values that are not finite\)"):
        open_run(run).load_method()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"epoch": 2, "loss": {"bce": NaN}}', "line 2: holds NaN, which is not a finite number"),
        ('{"epoch": 2, "loss": {"bce": 1e400}}', "line 2: holds 1e400, which is not a finite number"),
        ('{"epoch": 2, "loss": {"other": 1}}', "line 2 has other losses than line 1"),
        ('{"epoch": 2, "loss": {}}', "line 2: loss: Dictionary should have at least 1 item"),
        ('{"epoch": "2", "loss": {"bce": 1}}', "line 2: epoch: expected a whole number, got '2'"),
    ],
)
def test_metrics_that_are_none_are_named_by_their_line(run: Path, line: str, reason: str) -> None:
    first = (run / "metrics.jsonl").read_text().splitlines()[0]
    (run / "metrics.jsonl").write_text(f"{first}\n{line}\n")
    with pytest.raises(RunError) as error:
        read_metrics(run)
    assert str(error.value).startswith(f"{run / 'metrics.jsonl'} is damaged ({reason}")


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


def spoiled_state(run: Path, change: Change) -> str:
    """What a resumed training says to a state of which something was changed."""
    settings = open_run(run).settings
    path = run / "state.safetensors"
    with safe_open(path, "pt") as file:
        progress = json.loads(file.metadata()["progress"])
    tensors = load_file(path)
    change(tensors, progress)
    save_file(tensors, path, {"progress": json.dumps(progress)})
    with pytest.raises(RunError) as error:
        train(run.parent / "squares", run, settings, resume=True)
    message = str(error.value)
    assert message.startswith(f"{path} is damaged (")
    return message


def slot(tensors: dict[str, torch.Tensor], kind: str) -> str:
    """An entry of the optimiser."""
    return next(name for name in sorted(tensors) if name.startswith("optimiser.") and name.endswith(kind))


def test_a_state_whose_optimiser_was_changed_is_one_line(run: Path) -> None:
    whole = (run / "state.safetensors").read_bytes()
    changes: dict[str, Change] = {
        "is missing": lambda tensors, _: tensors.pop(slot(tensors, "exp_avg")),
        "its parameter": lambda tensors, _: tensors.update({slot(tensors, "exp_avg"): torch.ones(2, 5)}),
        "belongs to no parameter": lambda tensors, _: tensors.update({"optimiser.999.step": torch.ones(())}),
        "belongs to no parameter; ": lambda tensors, _: tensors.update({"optimiser.x.step": torch.ones(())}),
        "is not part of the state of AdamW": lambda tensors, _: tensors.update(
            {slot(tensors, "exp_avg") + "2": tensors[slot(tensors, "exp_avg")].clone()}
        ),
        "holds values that are not finite": lambda tensors, _: tensors[slot(tensors, "exp_avg")].fill_(torch.nan),
        "rows of metrics after": lambda _, progress: progress.update(epoch=7),
        "after 3 batches": lambda _, progress: progress.update(batch=3),
        "best_ap: expected a number": lambda _, progress: progress.update(best_ap="high"),
        "rows.0: expected a dictionary": lambda _, progress: progress.update(rows=[1, 2]),
        "'loss' is missing": lambda _, progress: progress.update(rows=[{"epoch": 1}, {"epoch": 2}]),
    }
    for message, change in changes.items():
        (run / "state.safetensors").write_bytes(whole)
        assert message in spoiled_state(run, change)


@pytest.mark.parametrize("name", ["config.yaml", "classes.json", "model.safetensors"])
def test_a_damaged_file_of_a_segmenter_is_named(student: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "student"
    copy.mkdir()
    for path in student.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    cut(copy / name)
    with pytest.raises(RunError, match=rf"student/{name} is damaged \("):
        open_predictor(copy, PredictSettings())


def test_data_that_was_moved_is_asked_for(run: Path) -> None:
    data = run.parent / "squares"
    data.rename(run.parent / "moved")
    with pytest.raises(RunError, match=rf"^{data}, the data set of {run}, is no longer there; name its new place"):
        make_masks(run, split="val")
    assert make_masks(run, data=run.parent / "moved", split="val").images == 4
