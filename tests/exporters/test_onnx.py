"""ONNX against torch, over all methods."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from command import call
from tag2mask import train
from tag2mask.errors import RunError, SettingsError
from tag2mask.exporters import onnx as module
from tag2mask.exporters.onnx import TOLERANCE, LogitsAndMaps, export_onnx
from tag2mask.inference.from_pixels import FromPixels
from tag2mask.methods import METHODS
from tag2mask.prediction.onnx_file import OnnxModel
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import segment
from tag2mask.training.run import open_run

runtime = pytest.importorskip("onnxruntime", reason="the extra is not there: pip install 'tag2mask[onnx]'")
pytest.importorskip("onnxscript", reason="the extra is not there: pip install 'tag2mask[onnx]'")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_but_gradients_becomes_a_file_for_any_size(
    squares: Path, tmp_path: Path, small: dict[str, object], method: str
) -> None:
    layered = {"map_layers": 2} if "map_layers" in METHODS[method].settings_class.model_fields else {}
    extra = {"attended_layers": 2} if method.startswith("attended") else {}
    train(
        squares, tmp_path / "run", **{**small, "method_settings": {**layered, **extra}, "epochs": 1, "method": method}
    )
    out = tmp_path / "model.onnx"
    if method == "gradcam":
        with pytest.raises(RunError, match="gradcam cannot be exported to ONNX"):
            export_onnx(tmp_path / "run", out)
        assert not list(tmp_path.glob("model*"))
        return
    summary = export_onnx(tmp_path / "run", out)
    assert summary.largest_difference <= TOLERANCE
    assert (summary.path, summary.bytes) == (out, out.stat().st_size)
    run = open_run(tmp_path / "run")
    model = FromPixels(LogitsAndMaps(run.load_method()), run.mean, run.std).eval()
    session = runtime.InferenceSession(str(out))
    images = torch.rand(5, 3, 24, 56)
    logits, maps = session.run(["logits", "maps"], {"images": images.numpy()})
    with torch.no_grad():
        for found, wanted in zip((logits, maps), model(images), strict=True):
            torch.testing.assert_close(torch.from_numpy(found), wanted, atol=TOLERANCE, rtol=0)
    known = session.get_modelmeta().custom_metadata_map
    assert (known["kind"], known["patch"], known["side"], known["model"]) == ("run", "8", "32", method)
    assert json.loads(known["classes"]) == run.classes.to_json()


def test_a_segmenter_becomes_a_file_for_any_size(trained: Path, tmp_path: Path) -> None:
    settings = SegmentSettings.parse({"epochs": 1, "batch_size": 4, "precision": "fp32", "crop": 27})
    segment(trained / "run", None, tmp_path / "student", settings, trained / "squares/masks", fully_supervised=True)
    summary = export_onnx(tmp_path / "student", tmp_path / "model.onnx")
    assert summary.largest_difference <= TOLERANCE
    run = open_segmenter(tmp_path / "student")
    model = FromPixels(run.load(), run.mean, run.std).eval()
    file = OnnxModel(tmp_path / "model.onnx")
    for size in ((5, 3, 24, 56), (1, 3, 17, 90), (2, 3, 3, 5)):
        images = torch.rand(size)
        with torch.no_grad():
            wanted = model(images)
        torch.testing.assert_close(torch.from_numpy(file(images.numpy())[0]), wanted, atol=TOLERANCE, rtol=0)
        assert wanted.shape == (size[0], 4, *size[2:])
    card = file.card
    assert (card.kind, card.crop, card.side, card.patch) == ("segmenter", 27, run.side, 8)
    assert (card.classes, card.mean, card.std) == (run.classes, run.mean, run.std)
    assert card.truth_used == "training: all labels are truth"
    assert "truth, fully supervised" in card.labels_used


def test_a_segmenter_is_captured_once_and_every_step_is_said(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    captures: list[bool] = []
    capture = torch.export.export

    def counted(*arguments: Any, strict: bool = False, **options: Any) -> torch.export.ExportedProgram:
        captures.append(strict)
        return capture(*arguments, strict=strict, **options)

    monkeypatch.setattr(torch.export, "export", counted)
    export_onnx(student, tmp_path / "model.onnx")
    assert captures == [False]  # Dynamo's capture, strict, does four times the work
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("export:")]
    assert lines == [f"export: {number} of 4, {step}" for number, step in enumerate(module.STEPS, 1)]


def test_waiting_threads_of_the_runtime_do_not_spin(trained: Path, tmp_path: Path) -> None:
    export_onnx(trained / "run", tmp_path / "model.onnx")
    options = OnnxModel(tmp_path / "model.onnx").session.get_session_options()
    for threads in ("intra_op", "inter_op"):
        assert options.get_session_config_entry(f"session.{threads}.allow_spinning") == "0"


def test_a_file_that_differs_is_not_left(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(RunError, match="differs from torch by"):
        export_onnx(trained / "run", tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_errors_come_before_the_work(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there.onnx").touch()
    with pytest.raises(RunError, match="already exists"):
        export_onnx(trained / "run", tmp_path / "there.onnx")
    with pytest.raises(RunError, match="is neither a segmenter nor a run"):
        export_onnx(tmp_path, tmp_path / "model.onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"export needs onnx, .*pip install 'tag2mask\[onnx\]'"):
        export_onnx(trained / "run", tmp_path / "model.onnx")


def test_the_verb(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "export", trained / "run", "--out", tmp_path / "a.onnx", "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert Path(result["path"]).stat().st_size == result["bytes"]


def test_weights_that_do_not_fit_into_one_file_are_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.onnx._internal.exporter import _onnx_program as program

    monkeypatch.setattr(program, "_LARGE_MODEL_THRESHOLD", 0)
    with pytest.raises(RunError, match="run is too large for one ONNX file; use export --format hub"):
        export_onnx(trained / "run", tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
