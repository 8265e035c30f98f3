from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import tag2mask
from command import call
from tag2mask.errors import RunError, SettingsError
from tag2mask.exporters.card import in_table
from tag2mask.prediction.predict import predict
from tag2mask.prediction.settings import PredictSettings


@pytest.fixture
def predicted(student: Path, trained: Path, tmp_path: Path) -> Path:
    """A copy of a segmenter, beside masks that it predicted and masks of another model."""
    shutil.copytree(student, tmp_path / "student")
    tag2mask.predict(tmp_path / "student", trained / "squares/images", tmp_path / "predicted")
    tag2mask.make_masks(trained / "run", out=tmp_path / "others", split="val")
    return tmp_path / "student"


def head_and_body(folder: Path) -> tuple[dict[str, object], str]:
    _, head, body = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), body


@pytest.mark.parametrize("kind", ["run", "student"])
def test_a_published_model_paints_the_same_masks(
    kind: str, trained: Path, predicted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = predicted if kind == "student" else trained / "run"
    assert call(monkeypatch, "export", folder, "--format", "hub", "--out", tmp_path / "hub") == 0
    images = sorted((trained / "squares/images").iterdir())[:3]
    before, after = (tag2mask.load(path).predict(images) for path in (folder, tmp_path / "hub"))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    written = {path.name for path in (tmp_path / "hub").iterdir()}
    assert written == {
        "README.md", "classes.json", "config.yaml", "metrics.jsonl", "model.safetensors", "weights.json"
    }  # fmt: skip
    for path in (tmp_path / "hub").iterdir():
        assert str(trained).encode() not in path.read_bytes()
        assert str(tmp_path).encode() not in path.read_bytes()


def test_the_card_says_what_the_model_is_and_how_good(predicted: Path, trained: Path, tmp_path: Path) -> None:
    summary = tag2mask.export(predicted, tmp_path / "hub", format="hub")
    assert summary.scored == 1
    head, body = head_and_body(tmp_path / "hub")
    scores = tag2mask.evaluate(tmp_path / "predicted", trained / "squares/masks")
    [result] = head["model-index"][0]["results"]  # type: ignore[index]
    assert result["metrics"][0]["value"] == pytest.approx(scores.miou / 100, abs=1e-4)  # type: ignore[operator]
    assert f"| predicted | new images | 12 | predicted | {scores.miou:.1f} |" in body
    assert "Learned from: truth, fully supervised" in body
    for part in ("| 1 | red |", "vit_tiny_patch16_224", "none (random initialisation)", "epochs: 1", "torch "):
        assert part in body
    assert head["library_name"] == "tag2mask"
    assert "licence, as timm" not in body


def test_weights_of_the_hub_bring_their_licence(run: Path, tmp_path: Path) -> None:
    path = run / "weights.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "source": "timm hub, vit_tiny_patch16_224"}))
    tag2mask.export(run, tmp_path / "hub", format="hub")
    head, body = head_and_body(tmp_path / "hub")
    assert head["base_model"] == "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    assert "Their licence, as timm states it: apache-2.0" in body
    assert "No masks of this model were scored" in body
    assert "mean average precision" in body


def test_push_writes_the_same_folder(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tag2mask.export(run, tmp_path / "export/model", format="hub")
    assert call(monkeypatch, "push", run, "--to", tmp_path / "push/model") == 0
    tag2mask.push(run, tmp_path / "python/model")
    names = {path.name for path in (tmp_path / "export/model").iterdir()}
    for other in ("push", "python"):
        written = {path.name: path.read_bytes() for path in (tmp_path / other / "model").iterdir()}
        assert written == {name: (tmp_path / "export/model" / name).read_bytes() for name in names}


def test_a_split_of_a_published_model_has_no_images(run: Path, tmp_path: Path) -> None:
    tag2mask.export(run, tmp_path / "hub", format="hub")
    with pytest.raises(SettingsError, match="a published model has no data set of its own"):
        predict(tmp_path / "hub", [], tmp_path / "out", PredictSettings(), split="val")


def test_nothing_is_overwritten_and_damage_leaves_nothing(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="already exists"):
        tag2mask.export(run, tmp_path, format="hub")
    with pytest.raises(SettingsError, match="format 'coreml' is unknown; use onnx or hub"):
        tag2mask.export(run, tmp_path / "hub", format="coreml")  # type: ignore[call-overload]
    weights = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(RunError, match="is damaged"):
        tag2mask.export(run, tmp_path / "hub", format="hub")
    (run / "model.safetensors").write_bytes(weights)
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("photographs: 8", "photographs: [8]"))
    with pytest.raises(RunError, match="photographs"):
        tag2mask.export(run, tmp_path / "hub", format="hub")
    assert not [path for path in tmp_path.iterdir() if "hub" in path.name or path.name.startswith(".tag2mask")]


def test_class_names_are_text_in_a_table() -> None:
    assert in_table("a|b <b>*x*\n_y_") == r"a\|b &lt;b&gt;\*x\* \_y\_"
