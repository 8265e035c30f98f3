"""ONNX files as predictors: as torch, without torch."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tag2mask
from tag2mask.data.reading import read_mask
from tag2mask.errors import RunError, SettingsError, Tag2MaskError
from tag2mask.exporters.onnx import export_onnx
from tag2mask.masks.write import open_mask_set
from tag2mask.prediction.onnx_file import OnnxModel
from tag2mask.prediction.predict import predict
from tag2mask.prediction.settings import PredictSettings

pytest.importorskip("onnxruntime", reason="the extra is not there: pip install 'tag2mask[onnx]'")
pytest.importorskip("onnxscript", reason="the extra is not there: pip install 'tag2mask[onnx]'")

FIRST = PredictSettings()


@pytest.fixture(scope="module")
def files(trained: Path, student: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A segmenter and a run, and each as a file."""
    folder = tmp_path_factory.mktemp("files")
    for name, source in (("segmenter", student), ("run", trained / "run")):
        export_onnx(source, folder / f"{name}.onnx")
    return {"segmenter": student, "run": trained / "run", "folder": folder}


def same(first: Path, second: Path) -> float:
    """The share of pixels that two mask sets have alike."""
    one, other = open_mask_set(first), open_mask_set(second)
    assert one.names() == other.names()
    pairs = [(read_mask(one.mask(name)), read_mask(other.mask(name))) for name in one.names()]
    return float(np.mean(np.concatenate([(a == b).ravel() for a, b in pairs])))


@pytest.mark.parametrize("kind", ["segmenter", "run"])
@pytest.mark.parametrize(
    "settings", [FIRST, PredictSettings(scales=(1.0, 1.5), flip=True, side="own")], ids=["once", "more"]
)
def test_a_file_paints_what_its_folder_paints(
    files: dict[str, Path], trained: Path, tmp_path: Path, kind: str, settings: PredictSettings
) -> None:
    images = [trained / "squares/images"]
    for model, out in ((files[kind], "torch"), (files["folder"] / f"{kind}.onnx", "onnx")):
        assert predict(model, images, tmp_path / out, settings).images == 12
    assert same(tmp_path / "torch", tmp_path / "onnx") > 0.999
    wanted, found = open_mask_set(tmp_path / "torch"), open_mask_set(tmp_path / "onnx")
    assert found.classes == wanted.classes
    for key in ("checkpoint_sha256", "image_tags", "labels_used", "truth_used", kind):
        assert found.manifest[key] == wanted.manifest[key]
    assert found.manifest["settings"]["tags"] == "predicted"


@pytest.mark.parametrize("kind", ["segmenter", "run"])
def test_torch_is_never_imported(files: dict[str, Path], trained: Path, tmp_path: Path, kind: str) -> None:
    words = [
        "tag2mask",
        "predict",
        files["folder"] / f"{kind}.onnx",
        trained / "squares/images",
        "--out",
        tmp_path / "o",
    ]
    code = (
        f"import sys; sys.argv = {[*map(str, words), '--overlay', '--json']}\n"
        "from tag2mask.cli import main\n"
        "try: main()\nexcept SystemExit as stop: code = stop.code\n"
        "print(code, [name for name in ('torch', 'torchvision', 'timm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    *_, told, last = done.stdout.splitlines()
    assert last == "0 []", done.stderr
    assert json.loads(told)["images"] == 12
    assert len(list((tmp_path / "o/overlays").iterdir())) == 12


def test_without_a_background_a_run_has_a_class_everywhere(
    squares: Path, small: dict[str, object], tmp_path: Path
) -> None:
    tag2mask.train(squares, tmp_path / "run", **{**small, "epochs": 1})
    export_onnx(tmp_path / "run", tmp_path / "run.onnx")
    for model in ("run", "run.onnx"):
        predict(tmp_path / model, [squares / "images"], tmp_path / f"masks of {model}", FIRST)
    assert same(tmp_path / "masks of run", tmp_path / "masks of run.onnx") > 0.999
    found, wanted = (open_mask_set(tmp_path / f"masks of {model}").manifest for model in ("run.onnx", "run"))
    assert found["fallbacks"] == wanted["fallbacks"]


def test_what_is_wrong_is_one_line(
    files: dict[str, Path], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, out = [trained / "squares/images"], tmp_path / "out"
    segmenter, run = (files["folder"] / f"{kind}.onnx" for kind in ("segmenter", "run"))
    for model, setting, message in (
        (segmenter, {"refine": "pamr"}, "segmenter.onnx supports crf or none, not pamr"),
        (segmenter, {"paint": {"rule": "ordered"}}, "paint cannot be set: it is for tagged runs"),
        (run, {"refine": "affinity,crf"}, "run.onnx supports pamr, guided, crf or none, not affinity"),
        (run, {"method": {"map_layers": 1}}, "method cannot be set: .* was exported from a run"),
        (run, {"paint": {"background": {"value": "agreement"}}}, "agreement needs a whole split"),
        (run, {"paint": {"class_thresholds": {"rod": 0.5}}}, "class 'rod', which .* does not have; did you mean red"),
    ):
        with pytest.raises(SettingsError, match=message):
            predict(model, images, out, PredictSettings.parse(setting))
    with pytest.raises(
        SettingsError, match=r"an \.onnx file, an imported run or a published model has no data set of its own"
    ):
        predict(segmenter, [], out, FIRST, "val")
    with pytest.raises(RunError, match="the file does not exist; write it with tag2mask export"):
        predict(tmp_path / "none.onnx", images, out, FIRST)
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    with pytest.raises(RunError, match=r"bad\.onnx: cannot be opened"):
        predict(tmp_path / "bad.onnx", images, out, FIRST)
    strip_metadata(segmenter, tmp_path / "bare.onnx")
    with pytest.raises(RunError, match=r"its metadata are not from this version of tag2mask \('kind' is missing\)"):
        predict(tmp_path / "bare.onnx", images, out, FIRST)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="needs onnxruntime, which is not installed: pip install onnxruntime"):
        predict(segmenter, images, out, FIRST)
    assert not out.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": "1e400"}, "holds 1e400, which is not a finite number"),
        ({"side": "-1"}, "side: expected a number greater than 0, got -1"),
        ({"mean": "[0.5]"}, "mean has 1 values, but there are 3 bands"),
        ({"std": "[1, 1, NaN]"}, "holds NaN, which is not a finite number"),
        ({"classes": "{}"}, "'names' is missing"),
        ({"data_settings": "[]"}, "data_settings: expected a dictionary"),
        ({"data_settings": '{"bandz": 3}'}, "unknown setting bandz; did you mean bands"),
        ({"classes": '{"names": ["red"], "background": null}'}, "run.onnx: has 3 classes, but its metadata say 1"),
    ],
)
def test_metadata_that_were_changed_are_one_line(
    files: dict[str, Path], tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    rewrite_metadata(files["folder"] / "run.onnx", tmp_path / "run.onnx", changes)
    with pytest.raises(Tag2MaskError) as error:
        OnnxModel(tmp_path / "run.onnx")
    assert message in str(error.value)
    assert "run.onnx" in str(error.value)


def rewrite_metadata(path: Path, out: Path, changes: dict[str, str]) -> None:
    """The same graph, of which other things are said."""
    import onnx

    model = onnx.load(path)
    for entry in model.metadata_props:
        entry.value = changes.get(entry.key, entry.value)
    onnx.save(model, out)


def strip_metadata(path: Path, out: Path) -> None:
    """The same graph of unknown making."""
    import onnx

    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, out)


def test_going_on_after_a_file_was_mended(files: dict[str, Path], trained: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    given = [trained / "squares/images/p00.png", tmp_path / "bad.png"]
    summary = predict(files["folder"] / "segmenter.onnx", given, tmp_path / "out", FIRST)
    assert (summary.images, list(summary.failures)) == (1, ["bad"])
    shutil.copy(given[0], tmp_path / "bad.png")
    assert predict(files["folder"] / "segmenter.onnx", given, tmp_path / "out", FIRST).images == 2
