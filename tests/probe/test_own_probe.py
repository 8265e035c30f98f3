"""The run's own probe: trained with the run, and used by default."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tag2mask
from backbones import save_backbone
from command import SMALL, call
from squares import SMALL as SETTINGS
from tag2mask.data.reading import read_mask
from tag2mask.errors import SettingsError
from tag2mask.evaluation.sweep import tune_background
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import open_mask_set
from tag2mask.probe import patches as gathering
from tag2mask.probe import train as training
from tag2mask.probe.linear import UNSURE
from tag2mask.tensors import read_tensors, write_tensors
from tag2mask.training.run import open_run
from tag2mask.viewer.opening import opened_session


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of a small backbone: networks trained from scratch get no probe."""
    path = tmp_path / "weights.safetensors"
    save_backbone(SETTINGS["backbone"], path)
    return path


@pytest.fixture
def words(squares: Path, tmp_path: Path, weights: Path) -> list[object]:
    """A training from these weights, on the command line."""
    small = [word for word in SMALL if not word.startswith("--weights")]
    return ["train", squares, "--out", tmp_path / "run", "--epochs", 1, "--weights", weights, *small]


@pytest.fixture(scope="module")
def probed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its own probe."""
    root = tmp_path_factory.mktemp("probed")
    for name in ("squares", "run"):
        shutil.copytree(trained / name, root / name)
    tag2mask.train_probe(root / "run")
    return root / "run"


def refiners(masks: Path) -> dict[str, Any]:
    return dict(open_mask_set(masks).manifest["settings"]["refine"])


def test_train_ends_with_a_probe_that_masks_use(
    words: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *words) == 0
    assert "run/probe: " in capsys.readouterr().err
    assert call(monkeypatch, "masks", tmp_path / "run") == 0
    assert "0 failures; refined by probe and crf" in capsys.readouterr().out
    used = refiners(tmp_path / "run/masks-train")
    assert (used["names"], used["probe"]) == (["probe", "crf"], None)  # no place, so that the run can be moved
    assert open_mask_set(tmp_path / "run/masks-train").manifest["probe"]["name"] == "probe"


def test_without_one_masks_come_from_maps(words: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, *words, "--no-probe") == 0
    tag2mask.make_masks(tmp_path / "run", out=tmp_path / "masks")
    assert refiners(tmp_path / "masks")["names"] == []


def test_a_network_from_scratch_gets_none(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    tag2mask.train(squares, tmp_path / "run", **{**small, "epochs": 1})
    assert open_run(tmp_path / "run").own_probe is None


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["probe", "crf"]),
        ({"scores": True}, ["probe", "crf"]),
        ({"paint": {"unsure": 0.6}}, ["probe", "crf"]),
        ({"look": {"batch_size": 2}}, ["probe", "crf"]),
        ({"refine": {"names": "probe"}}, ["probe"]),
        ({"refine": {"names": "none"}}, []),
        ({"refine": {"names": "pamr"}}, ["pamr"]),
        ({"paint": {"background": {"value": 0.2}}}, []),
        ({"method": {"map_layers": 1}}, []),
        ({"look": {"flip": True}}, []),
        ({"look": {"max_patches": 4}}, []),
        ({"paint": {"rule": "ordered"}}, []),
    ],
)
def test_what_is_asked_of_maps_is_not_ignored(
    probed: Path, tmp_path: Path, settings: dict[str, Any], names: list[str]
) -> None:
    tag2mask.make_masks(probed, out=tmp_path / "masks", **settings)
    assert refiners(tmp_path / "masks")["names"] == names
    assert (open_mask_set(tmp_path / "masks").manifest["probe"] is not None) == ("probe" in names)


@pytest.mark.parametrize(
    ("settings", "idle"),
    [
        ({"look": {"flip": True}}, "look"),
        ({"method": {"map_layers": 1}}, "method"),
        ({"refine": {"names": "affinity,pamr,probe"}}, "refine affinity and refine pamr"),
        ({"paint": {"class_thresholds": {"red": 0.2}}}, "threshold"),
        ({"paint": {"background": {"value": "otsu"}}}, "threshold"),
    ],
)
def test_what_a_probe_would_ignore_is_refused(
    probed: Path, tmp_path: Path, settings: dict[str, Any], idle: str
) -> None:
    with pytest.raises(SettingsError, match=f"so {idle} would have no effect"):
        tag2mask.make_masks(probed, out=tmp_path / "masks", **{"refine": {"names": "probe"}, **settings})
    assert not (tmp_path / "masks").exists()


def test_a_probe_has_no_threshold_to_tune(probed: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="leave out the refiner probe"):
        tune_background(probed, None, MaskSettings.parse({"refine": {"names": "probe"}}), "val")


def test_predictions_and_models_in_memory_use_it(probed: Path, tmp_path: Path) -> None:
    image = next((probed.parent / "squares/images").iterdir())
    tag2mask.predict(probed, image, tmp_path / "new")
    assert refiners(tmp_path / "new")["names"] == ["probe", "crf"]
    tag2mask.predict(probed, image, tmp_path / "by-maps", look={"flip": True})
    assert refiners(tmp_path / "by-maps")["names"] == []
    maps = tag2mask.load(probed).localize(image, tags=["red", "blue"])
    shares = tag2mask.load(probed).predict(image, tags=["red", "blue"], proba=True)
    np.testing.assert_allclose(sum(maps.values()) + shares[0], 1, atol=1e-4)  # probabilities, with the background's


def test_images_in_memory_teach_it_too(squares: Path, tmp_path: Path, weights: Path, small: dict[str, object]) -> None:
    tags = {name: line.split(";") for name, line in csv_rows(squares)}
    pairs = [(np.asarray(Image.open(squares / "images" / name)), tags[name]) for name in sorted(tags)]
    chosen = {**small, "weights": str(weights), "epochs": 1}
    tag2mask.train(pairs, out=tmp_path / "run", classes=["background", "red", "green", "blue"], **chosen)
    found = json.loads((tmp_path / "run/probe/summary.json").read_text())
    assert found["images"] == len(pairs)
    assert tag2mask.load(tmp_path / "run").predictor.origin()["probe"] is not None


def csv_rows(squares: Path) -> list[tuple[str, str]]:
    lines = (squares / "labels.csv").read_text().splitlines()[1:]
    return [(name if "." in name else f"{name}.png", tags) for name, _, tags in (line.partition(",") for line in lines)]


def test_an_interrupted_one_is_named_and_continued(
    words: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = iter(range(100))
    gather = gathering.patches_of

    def interrupted(*arguments: Any) -> gathering.Patches:
        if next(found) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return gather(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(gathering, "patches_of", interrupted)
        assert call(monkeypatch, *words) == 130
    assert call(monkeypatch, "masks", tmp_path / "run") == 2
    assert "run/probe is not finished: repeat the command that began it" in capsys.readouterr().err
    assert call(monkeypatch, *words, "--resume") == 0
    assert call(monkeypatch, "masks", tmp_path / "run") == 0


def test_if_nothing_is_sure_the_run_has_none(
    words: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "unanimous_labels", lambda labels_NL: labels_NL[:, 0] * 0 + UNSURE)
    assert call(monkeypatch, *words) == 0
    assert "no probe, so masks are painted from class maps alone: no patch surely" in capsys.readouterr().err
    assert open_run(tmp_path / "run").own_probe is None
    assert call(monkeypatch, "train-probe", tmp_path / "run") == 2
    assert call(monkeypatch, "masks", tmp_path / "run") == 0
    assert call(monkeypatch, "push", tmp_path / "run", "--to", tmp_path / "hub") == 0


def test_a_finished_one_is_kept_until_the_run_learns_more(
    words: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(monkeypatch, *words) == 0
    weights, moved = tmp_path / "moved/probe/probe.safetensors", tmp_path / "moved"
    (tmp_path / "run").rename(moved)
    before = weights.stat().st_mtime_ns
    again = [moved if word == tmp_path / "run" else word for word in words]
    assert call(monkeypatch, *again, "--resume") == 0
    assert call(monkeypatch, "train-probe", moved) == 0
    assert weights.stat().st_mtime_ns == before
    tensors, metadata = read_tensors(moved / "model.safetensors")
    write_tensors(moved / "model.safetensors", {name: tensor + 0.1 for name, tensor in tensors.items()}, metadata)
    assert call(monkeypatch, *again, "--resume") == 0
    assert weights.stat().st_mtime_ns > before
    assert call(monkeypatch, "masks", moved) == 0


def test_the_viewer_of_a_run_shows_its_probabilities(probed: Path, tmp_path: Path) -> None:
    with opened_session(probed, corrections=tmp_path / "corrections", judged=False) as session:
        item = session.items[0]
        assert session.maps(item, item.tags).kind == "probability"
        shown = session.original(item)
    painted = tag2mask.make_masks(probed, out=tmp_path / "masks").path
    np.testing.assert_array_equal(shown, read_mask(painted / f"masks/{item.name}.png"))


def test_shards_merge_to_the_same_masks(probed: Path, tmp_path: Path) -> None:
    whole = tag2mask.make_masks(probed, out=tmp_path / "whole").path
    for index in (1, 2):
        tag2mask.make_masks(probed, out=tmp_path / "shards", shard=f"{index}/2")
    merged = tag2mask.merge(tmp_path / "shards", tmp_path / "merged").path
    for path in (whole / "masks").iterdir():
        assert (merged / "masks" / path.name).read_bytes() == path.read_bytes()


def test_the_report_names_a_probe_that_is_gone(run: Path, tmp_path: Path) -> None:
    tag2mask.train_probe(run)
    masks = tag2mask.make_masks(run).path
    assert "is no longer there" not in tag2mask.report(run, masks).read_text()
    shutil.rmtree(run / "probe")
    assert str(run / "probe") in tag2mask.report(run, masks, out=tmp_path / "again.html").read_text()


def test_a_tuned_threshold_is_one_of_maps(probed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, "masks", probed, "--out", tmp_path / "tuned", "--tune-on-truth", "val") == 0
    assert refiners(tmp_path / "tuned")["names"] == []


def test_a_published_run_brings_it_without_places(probed: Path, tmp_path: Path) -> None:
    tag2mask.push(probed, tmp_path / "hub")
    assert str(tmp_path) not in "".join(path.read_text() for path in tmp_path.glob("hub/**/*.yaml"))
    image = next((probed.parent / "squares/images").iterdir())
    first, second = (tag2mask.load(place).predict(image, tags=["red"]) for place in (probed, tmp_path / "hub"))
    np.testing.assert_array_equal(first, second)


def test_settings_of_masks_stay_open_until_the_run_is_known() -> None:
    assert MaskSettings().refine.names is None
