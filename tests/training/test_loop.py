from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from interruption import interrupted_after
from tag2mask import tensors as tensor_files
from tag2mask import train
from tag2mask.errors import DataError, RunError, SettingsError, WeightsError
from tag2mask.files import BEGUN, begin, held
from tag2mask.methods import Evidence, Progress, build_method
from tag2mask.methods.attended import DynamicAttended
from tag2mask.training import checkpoint, loop
from tag2mask.training.checkpoint import LoopState, load_state, save_state
from tag2mask.training.run import open_run
from tag2mask.training.settings import TrainSettings
from tag2mask.training.start import HEADER


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def equal(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def rows(run: Path) -> list[dict[str, object]]:
    """Metrics without the clock."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def test_a_run_holds_what_later_verbs_need(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    result = train(squares, tmp_path / "run", **small)
    run = open_run(tmp_path / "run")
    assert (result.epochs, len(run.metrics()), run.data) == (2, 2, squares.resolve())
    assert run.classes.names == ("red", "green", "blue")
    assert set(run.metrics()[0]) >= {"epoch", "loss", "lr", "val_ap", "val_f1", "val_ap_per_class", "open_heads"}
    assert result.best_ap == max(row["val_ap"] for row in run.metrics())
    assert not run.load_method().training
    assert len(run.checkpoint_hash()) == 64


def test_every_so_many_epochs_are_kept_if_asked(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    train(squares, tmp_path / "second", **small, keep_epochs=2)
    assert [path.name for path in (tmp_path / "second/epochs").iterdir()] == ["002.safetensors"]
    best = train(squares, tmp_path / "run", **small, keep_epochs=1).best_epoch
    kept = sorted((tmp_path / "run/epochs").iterdir())
    assert [path.name for path in kept] == ["001.safetensors", "002.safetensors"]
    assert kept[best - 1].read_bytes() == (tmp_path / "run/model.safetensors").read_bytes()
    assert kept[0].read_bytes() != kept[1].read_bytes()


def test_the_same_seed_gives_the_same_weights_and_another_does_not(
    squares: Path, tmp_path: Path, small: dict[str, object]
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(squares, tmp_path / name, **small, seed=seed)
    assert equal(tmp_path / "a", tmp_path / "b")
    assert not equal(tmp_path / "a", tmp_path / "c")


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_resumed_after_any_step_it_is_the_uninterrupted_run_bit_for_bit(
    squares: Path, tmp_path: Path, small: dict[str, object], stop: int
) -> None:
    small["method_settings"] = {**small["method_settings"], "pruning": True}
    train(squares, tmp_path / "whole", **small)
    with interrupted_after(stop), pytest.raises(KeyboardInterrupt):
        train(squares, tmp_path / "halved", **small)
    train(squares, tmp_path / "halved", resume=True, **small)
    assert equal(tmp_path / "whole", tmp_path / "halved")
    assert rows(tmp_path / "whole") == rows(tmp_path / "halved")


def test_killed_outright_it_resumes_to_the_same_weights(
    squares: Path, tmp_path: Path, small: dict[str, object]
) -> None:
    small |= {"epochs": 6, "save_minutes": 0.0}
    train(squares, tmp_path / "whole", **small)
    # The same number of threads as here: it decides the order of sums, and with it the last bits.
    threads = f"import torch; torch.set_num_threads({torch.get_num_threads()})"
    call = f"{threads}; from tag2mask import train; train({str(squares)!r}, {str(tmp_path / 'killed')!r}, **{small!r})"
    process = subprocess.Popen([sys.executable, "-c", call], stderr=subprocess.DEVNULL)
    while not (tmp_path / "killed" / checkpoint.STATE).exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    train(squares, tmp_path / "killed", resume=True, **small)
    assert equal(tmp_path / "whole", tmp_path / "killed")


def test_interrupted_in_the_middle_of_a_checkpoint_the_one_before_is_whole(
    squares: Path, tmp_path: Path, small: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(squares, tmp_path / "whole", **small)
    save, states = tensor_files.save_file, []

    def half_written(tensors: object, path: Path, metadata: dict[str, str]) -> None:
        states.extend(key for key in metadata if key == "progress")
        if len(states) == 2:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        save(tensors, path, metadata)

    with monkeypatch.context() as patch:
        patch.setattr(tensor_files, "save_file", half_written)
        with pytest.raises(KeyboardInterrupt):
            train(squares, tmp_path / "run", **small)
    train(squares, tmp_path / "run", resume=True, **small)
    assert equal(tmp_path / "whole", tmp_path / "run")


def test_accumulated_batches_are_one_larger_batch(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    small["backbone"] = {**small["backbone"], "drop_path": 0.0}
    train(squares, tmp_path / "whole", **{**small, "batch_size": 8})
    train(squares, tmp_path / "parts", **{**small, "batch_size": 4, "accumulate": 2})
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for key in a:
        torch.testing.assert_close(a[key], b[key], atol=2e-4, rtol=1e-3)


def test_no_truth_is_opened(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    for path in (squares / "masks").iterdir():
        path.unlink()
        path.mkdir()  # opening it would fail
    train(squares, tmp_path / "run", **small)


def test_without_validation_images_the_last_weights_are_kept(
    squares: Path, tmp_path: Path, small: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    (squares / "splits/val.txt").unlink()
    result = train(squares, tmp_path / "run", **small)
    assert (result.best_ap, result.best_epoch) == (None, 2)
    assert "the last weights are kept" in capfd.readouterr().err


def test_of_equally_good_epochs_the_last_is_kept(
    squares: Path, tmp_path: Path, small: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter((0.4, 0.5, 0.5, 0.3))
    monkeypatch.setattr(loop.Trainer, "validate", lambda self: {"val_ap": next(scores), "val_f1": 0.0})
    assert train(squares, tmp_path / "run", **{**small, "epochs": 4}).best_epoch == 3


def test_patience_ends_a_training_that_stands_still_and_resuming_does_not_go_on(
    squares: Path, tmp_path: Path, small: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter((0.4, 0.5, 0.3, 0.45, 0.9))
    monkeypatch.setattr(loop.Trainer, "validate", lambda self: {"val_ap": next(scores), "val_f1": 0.0})
    settings = {**small, "epochs": 5, "patience": 2}
    result = train(squares, tmp_path / "run", **settings)
    assert (result.epochs, result.best_epoch, len(rows(tmp_path / "run"))) == (4, 2, 4)
    again = train(squares, tmp_path / "run", **settings, resume=True)
    assert (again.epochs, again.best_epoch, next(scores)) == (4, 2, 0.9)


@pytest.mark.parametrize(("first", "epochs"), [(0.79, 5), (0.8, 3), (None, 3)])
def test_hard_tags_get_more_epochs(
    squares: Path,
    tmp_path: Path,
    small: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    first: float | None,
    epochs: int,
) -> None:
    later = {"val_ap": 0.5, "val_f1": 0.0}  # only the first third decides
    found = {} if first is None else {**later, "val_ap": first}
    monkeypatch.setattr(loop.Trainer, "validate", lambda self: later if self.state.epoch else found)
    settings = {**small, "epochs": 3, "more_epochs": 2}
    assert train(squares, tmp_path / "whole", **settings).epochs == epochs
    assert ("hard tags (AP below 0.8), so 2 epochs more" in capsys.readouterr().err) == (epochs == 5)
    rates = [row["lr"][0] for row in rows(tmp_path / "whole")]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.2 * rates[0]
    with interrupted_after(5), pytest.raises(KeyboardInterrupt):
        train(squares, tmp_path / "halved", **settings)
    train(squares, tmp_path / "halved", resume=True, **settings)
    assert rows(tmp_path / "whole") == rows(tmp_path / "halved")


def test_a_loss_that_is_not_finite_stops_before_the_step(
    squares: Path, tmp_path: Path, small: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tag2mask.methods.attended.DynamicAttended.loss",
        lambda self, evidence, tags, progress: {"bce": evidence.scores_BC.sum() * float("nan")},
    )
    with pytest.raises(RunError, match=r"the loss is nan at epoch 1, step 1; .* lower optimiser.lr_tokens"):
        train(squares, tmp_path / "run", **small)
    assert not (tmp_path / "run").exists()


def test_the_loss_knows_where_the_training_stands(
    squares: Path, tmp_path: Path, small: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, seen = DynamicAttended.loss, []

    def noted(self: DynamicAttended, evidence: Evidence, tags: torch.Tensor, progress: Progress) -> object:
        seen.append(progress)
        return loss(self, evidence, tags, progress)

    monkeypatch.setattr(DynamicAttended, "loss", noted)
    with interrupted_after(3), pytest.raises(KeyboardInterrupt):  # two steps an epoch
        train(squares, tmp_path / "run", **small)
    train(squares, tmp_path / "run", resume=True, **small)
    assert seen == [Progress(step, 4, step // 2, 2) for step in range(4)]


def test_folders_in_the_way(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(RunError, match="full is not empty; choose another --out, or continue with --resume"):
        train(squares, tmp_path / "full", **small)
    with pytest.raises(RunError, match=r"full is not a run: config\.yaml is missing"):
        train(squares, tmp_path / "full", resume=True, **small)
    assert (tmp_path / "full/mine.txt").read_text() == "mine"


def test_resuming_with_another_setting_names_it(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    train(squares, tmp_path / "run", **small)
    with pytest.raises(RunError, match="was begun with epochs = 2, not 3; resume with the same settings"):
        train(squares, tmp_path / "run", resume=True, **{**small, "epochs": 3})
    with pytest.raises(RunError, match=r"was begun with optimiser\.lr_tokens = .*, not 1\.0; resume with the same"):
        train(squares, tmp_path / "run", resume=True, **{**small, "optimiser": {"lr_tokens": 1.0}})


def test_resuming_a_finished_run_says_that_it_is_finished(
    squares: Path, tmp_path: Path, small: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    made = train(squares, tmp_path / "run", **{**small, "epochs": 1})
    assert "finished" not in capsys.readouterr().err
    again = train(squares, tmp_path / "run", resume=True, **{**small, "epochs": 1})
    assert capsys.readouterr().err == "already finished after 1 epoch\n"
    assert again == made
    assert made.shown()[0].startswith(f"{tmp_path / 'run'}: 1 epoch, best 1 (val AP ")


def test_a_folder_that_another_training_writes_to_is_left_alone(
    squares: Path, tmp_path: Path, small: dict[str, object]
) -> None:
    train(squares, tmp_path / "run", **small)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "run").iterdir())
    with held(tmp_path / "run"), pytest.raises(RunError, match="run is in use by another tag2mask"):
        train(squares, tmp_path / "run", resume=True, **small)
    with held(tmp_path / "new"), pytest.raises(RunError, match="new is in use by another tag2mask"):
        train(squares, tmp_path / "new", **small)
    assert sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "run").iterdir()) == before


def test_bad_images_are_named(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    (squares / "images/p03.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"p03\.png: is not an image"):
        train(squares, tmp_path / "run", **small)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["p00", "p09"])
def test_a_link_to_nothing_is_named_before_anything_is_written(
    name: str, squares: Path, tmp_path: Path, small: dict[str, object]
) -> None:
    image = squares / f"images/{name}.png"
    image.unlink()
    image.symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=rf"{name}\.png: the image is missing"):
        train(squares, tmp_path / "run", **small)
    assert not (tmp_path / "run").exists()


def test_bad_input_leaves_no_folder(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    for settings, error in (
        ({"weights": str(tmp_path / "w.safetensors")}, WeightsError),
        ({"method": "none"}, SettingsError),
        ({"data": {"bands": 1}, "backbone": {"bands": 3}}, SettingsError),
        ({"data": {"mean": [0.5] * 3}}, SettingsError),
        ({"split": "none"}, DataError),
    ):
        with pytest.raises(error):
            train(squares, tmp_path / "run", **{**small, **settings})
        assert not (tmp_path / "run").exists()


def test_a_split_without_tags_cannot_be_learned_from(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    (squares / "labels.csv").write_text("image,labels\np11.png,red\n")
    with pytest.raises(DataError, match="no image of this split has tags"):
        train(squares, tmp_path / "run", **small)
    rows = "".join(f"p{i:02d}.png,\n" for i in range(12))
    (squares / "labels.csv").write_text(f"image,labels\n{rows}")
    with pytest.raises(DataError, match="all images of this split have empty lists of tags"):
        train(squares, tmp_path / "run", **small)


@pytest.mark.parametrize("name", ["config.yaml", "classes.json", "model.safetensors"])
def test_a_run_with_a_file_gone_says_which(squares: Path, tmp_path: Path, small: dict[str, object], name: str) -> None:
    train(squares, tmp_path / "run", **small)
    (tmp_path / "run" / name).unlink()
    with pytest.raises(RunError, match=name.replace(".", r"\.") + " is missing"):
        open_run(tmp_path / "run").load_method()


def test_a_folder_can_be_resumed_if_there_is_a_state(tmp_path: Path) -> None:
    assert not checkpoint.can_resume(tmp_path / "none")
    (tmp_path / "config.yaml").touch()
    assert not checkpoint.can_resume(tmp_path)
    (tmp_path / checkpoint.STATE).touch()
    assert checkpoint.can_resume(tmp_path)
    assert (tmp_path / "config.yaml").exists()


@pytest.mark.parametrize("resume", [False, True])
def test_stopped_before_its_first_state_it_begins_again(
    resume: bool, squares: Path, tmp_path: Path, small: dict[str, object]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    begin(run, HEADER)
    (run / "config.yaml").write_text("half of")
    train(squares, run, resume=resume, **small)
    assert not (run / BEGUN).exists()
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2


def test_weights_without_a_state_and_somebodys_own_settings_are_left_alone(
    squares: Path, tmp_path: Path, small: dict[str, object]
) -> None:
    for name in ("model.safetensors", "config.yaml"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text("mine")
        with pytest.raises(RunError, match="is not empty"):
            train(squares, tmp_path / name, **small)
        assert [path.name for path in (tmp_path / name).iterdir()] == [name]


def test_the_loop_waits_for_the_device_once_a_step(
    squares: Path, tmp_path: Path, small: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    small["method_settings"] = {**small["method_settings"], "pruning": True}
    readers: list[str] = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__"):
        read = getattr(torch.Tensor, name)

        def noted(self: torch.Tensor, read: Callable[..., object] = read, name: str = name) -> object:
            module = sys._getframe(1).f_globals["__name__"]
            if module.startswith("tag2mask.training"):
                readers.append(f"{module} {name}")
            return read(self)

        monkeypatch.setattr(torch.Tensor, name, noted)
    step, seen = loop.Trainer.step, []

    def counted(self: loop.Trainer, *batch: torch.Tensor) -> bool:
        readers.clear()
        moved = step(self, *batch)
        seen.append(list(readers))
        return moved

    monkeypatch.setattr(loop.Trainer, "step", counted)
    train(squares, tmp_path / "run", **small)
    assert seen == [["tag2mask.training.epochs tolist"]] * len(seen)
    assert seen


@pytest.mark.parametrize("change", ["tag", "image"])
def test_a_run_is_not_resumed_on_other_images_or_tags(
    squares: Path, tmp_path: Path, small: dict[str, object], change: str
) -> None:
    with interrupted_after(1), pytest.raises(KeyboardInterrupt):
        train(squares, tmp_path / "run", **small)
    if change == "tag":
        table = squares / "labels.csv"
        table.write_text(table.read_text().replace("red", "blue", 1))
    else:
        names = (squares / "splits/train.txt").read_text().splitlines()
        (squares / "splits/train.txt").write_text("\n".join(names[1:]) + "\n")
    with pytest.raises(RunError, match=r"images or tags of .* have changed since the training began"):
        train(squares, tmp_path / "run", resume=True, **small)


def test_epochs_follow_from_the_images_that_are_learned_from(
    squares: Path, tmp_path: Path, small: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    head, *lines = (squares / "labels.csv").read_text().splitlines()
    listed = (squares / "splits/train.txt").read_text().split()
    kept = [line for line in lines if line.partition(",")[0].removesuffix(".png") not in listed[2:]]
    (squares / "labels.csv").write_text("\n".join([head, *kept]) + "\n")
    monkeypatch.setattr(TrainSettings, "views", 16)
    settings = {key: value for key, value in small.items() if key != "epochs"}
    assert train(squares, tmp_path / "run", **settings).epochs == 8
    assert open_run(tmp_path / "run").settings.more_epochs == 5


def test_the_state_of_loss_scaling_survives_the_file(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    with interrupted_after(1), pytest.raises(KeyboardInterrupt):
        train(squares, tmp_path / "run", **small)
    run = open_run(tmp_path / "run")
    method = build_method(
        run.settings.method, run.classes, run.settings.backbone, run.settings.method_settings, "none"
    )[0]
    optimiser = torch.optim.AdamW(method.parameters())
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.ones(()))
    state = LoopState(scaler=scaler.state_dict())
    save_state(tmp_path / "run", method, optimiser, state)
    scaler.load_state_dict(load_state(tmp_path / "run", method, optimiser).scaler)
    weight = torch.ones(1, requires_grad=True)
    scaler.scale(weight.sum()).backward()
    scaler.step(torch.optim.SGD([weight], lr=0.1))
    scaler.update()
    assert weight.item() == pytest.approx(0.9)
