"""Released checkpoints as runs: equal to the published formulas, painting, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import timm
import torch

from command import call
from released_checkpoints import SIDE, C, Computed, D, P, checkpoint, compute, save
from tag2mask import import_checkpoint, make_masks, predict
from tag2mask.errors import DataError, RunError, SettingsError, Tag2MaskError, WeightsError
from tag2mask.exporters.onnx import of_run
from tag2mask.files import file_hash
from tag2mask.masks.write import open_mask_set
from tag2mask.methods import Ask
from tag2mask.notation import from_yaml
from tag2mask.reports.page import write_report
from tag2mask.training.imported import RELEASED
from tag2mask.training.run import open_run

METHODS = list(RELEASED)
OWN = SIDE * P  # pixels


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    path.write_text("red\ngreen\nblue\n")
    return path


def computed_by(run: Path, images: torch.Tensor) -> Computed:
    """What the run's method computes."""
    with torch.no_grad():
        evidence = open_run(run).load_method()(images, ask=Ask(maps=True, affinity=True))
    return Computed(evidence.logits, evidence.maps_BChw, evidence.affinity_BMM)


def assert_same(found: Computed, wanted: Computed) -> None:
    assert found.logits.keys() == wanted.logits.keys()
    for name, logits_BC in wanted.logits.items():
        torch.testing.assert_close(found.logits[name], logits_BC, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.maps_BChw, wanted.maps_BChw, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.affinity_BMM, wanted.affinity_BMM, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [(OWN, OWN), (40, 56), (24, 32)])
@pytest.mark.parametrize("method", METHODS)
def test_an_imported_run_computes_the_published_formulas(
    tmp_path: Path, names: Path, method: str, size: tuple[int, int]
) -> None:
    state = checkpoint(method)
    result = import_checkpoint(save(state, tmp_path / "w.pth"), method, names, tmp_path / "run")
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    wanted = compute(method, state, images)
    assert_same(computed_by(result.run, images), wanted)
    assert wanted.maps_BChw.std() > 1e-3  # the comparison has something to find
    assert (result.image_size, result.classes) == (OWN, C)


def test_a_parallel_half_precision_checkpoint_without_anything_beside_it(tmp_path: Path, names: Path) -> None:
    state = {name: tensor.half() for name, tensor in checkpoint("weaktr").items()}
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "w.pth")
    import_checkpoint(tmp_path / "w.pth", "weaktr", names, tmp_path / "run")
    images = torch.randn(1, 3, OWN, OWN)
    wanted = compute("weaktr", {name: tensor.float() for name, tensor in state.items()}, images)
    assert_same(computed_by(tmp_path / "run", images), wanted)


@pytest.mark.parametrize("method", ["mctformer-v2", "mctformer-plus"])
def test_another_image_size_resamples_positions_once_as_the_released_code_does(
    tmp_path: Path, names: Path, method: str
) -> None:
    state = checkpoint(method)
    path = save(state, tmp_path / "w.pth")
    import_checkpoint(path, method, names, tmp_path / "run", image_size=56)
    images = torch.randn(1, 3, 56, 56)
    assert_same(computed_by(tmp_path / "run", images), compute(method, state, images))
    with pytest.raises(SettingsError, match="--image-size 60 is not a multiple of the checkpoint's patch, 8; try 64"):
        import_checkpoint(path, method, names, tmp_path / "other", image_size=60)


@pytest.mark.parametrize("method", METHODS)
def test_an_imported_run_paints_any_folder_with_its_classes(
    squares: Path, tmp_path: Path, names: Path, method: str
) -> None:
    path = save(checkpoint(method), tmp_path / "w.pth")
    run = import_checkpoint(path, method, names, tmp_path / "run").run
    painted = make_masks(run, squares, split="val")
    assert painted.images == 4
    assert not painted.failures
    manifest = open_mask_set(painted.path).manifest
    truth = "WeakTr's authors keep the epoch whose maps fit true masks best" if method == "weaktr" else "none"
    assert manifest["imported"] == {"file": "w.pth", "sha256": file_hash(path), "truth_used": truth}
    assert manifest["truth_used"] == truth
    assert "imported from w.pth" in write_report(run).read_text()
    predicted = predict(run, squares / "images", tmp_path / "predicted")
    assert predicted.images == 12
    for verb in (lambda: make_masks(run), lambda: predict(run, [], tmp_path / "other", split="val")):
        with pytest.raises(Tag2MaskError, match=r"imported.* has no data set of its own"):
            verb()


def test_the_config_is_the_published_recipe(tmp_path: Path, names: Path) -> None:
    path = save(checkpoint("weaktr"), tmp_path / "w.pth")
    import_checkpoint(path, "weaktr", names, tmp_path / "run", background=True)
    config = from_yaml((tmp_path / "run/config.yaml").read_bytes())
    assert config["data"] is None
    assert (config["imported"]["file"], config["imported"]["sha256"]) == ("w.pth", file_hash(path))
    assert (config["mean"], config["std"]) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    run = open_run(tmp_path / "run")
    assert run.classes.pixel_names == ("background", "red", "green", "blue")
    assert (run.settings.epochs, run.settings.seed, run.settings.method_settings["query"]) == (60, 504, "slices")
    backbone = run.settings.backbone
    assert (backbone.positions, backbone.bands, backbone.image_size) == ("released", 3, OWN)
    assert (backbone.width, backbone.depth, backbone.heads, backbone.patch) == (D, 4, 2, P)
    weights = json.loads((tmp_path / "run/weights.json").read_text())
    assert weights["source"] == "imported from w.pth"
    assert weights["unused"] == ["norm.bias", "norm.weight"]


def test_a_deit_keeps_its_name(tmp_path: Path, names: Path) -> None:
    from tag2mask.methods.released import Size
    from tag2mask.training.imported import settings_for

    backbone = settings_for("mctformer-plus", RELEASED["mctformer-plus"], Size(20, 384, 12, 16, 28), None).backbone
    assert (backbone.name, backbone.image_size, backbone.shape()) == ("deit_small_patch16_224", 448, {})
    backbone = settings_for("mctformer-v1", RELEASED["mctformer-v1"], Size(20, 768, 12, 16, 14), None).backbone
    assert (backbone.name, backbone.image_size, backbone.shape()) == ("deit_base_patch16_224", 224, {})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (2, r"is a plain ViT, of none .*; train one on it: train --weights .*deit\.pth"),
        (4, r"deit\.pth cannot be read: it is damaged, or neither"),
    ],
)
def test_a_pretrained_vit_is_told_from_released_methods(
    tmp_path: Path, names: Path, protocol: int, message: str
) -> None:
    state = timm.create_model("deit_tiny_patch16_224", depth=1).state_dict()
    torch.save({"model": state}, tmp_path / "deit.pth", pickle_protocol=protocol)
    with pytest.raises(WeightsError, match=message):
        import_checkpoint(tmp_path / "deit.pth", "weaktr", names, tmp_path / "run")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("given", METHODS)
def test_another_method_is_named(tmp_path: Path, names: Path, method: str, given: str) -> None:
    if method == given:
        return
    path = save(checkpoint(method), tmp_path / "w.pth")
    with pytest.raises(
        WeightsError, match=f"not a released checkpoint of {given}: .* another method: --method {method}$"
    ):
        import_checkpoint(path, given, names, tmp_path / "run")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["names.txt", "w.pth"]


def spoiled(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    """Files by what is wrong with them, and what is said."""
    state = checkpoint("weaktr")
    whole = save(state, tmp_path / "whole.pth")
    cut, text, gone, odd = (tmp_path / name for name in ("cut.pth", "text.pth", "gone.pth", "odd.pth"))
    cut.write_bytes(whole.read_bytes()[:-2000])
    text.write_text("no weights")
    save(state | {"cls_token": torch.full_like(state["cls_token"], torch.nan)}, odd)
    return {
        "cut": (cut, "cannot be read: it is damaged"),
        "text": (text, "cannot be read: it is damaged"),
        "gone": (gone, "does not exist"),
        "no number": (odd, "holds values that are not finite"),
        "missing": (
            save(
                {name: state[name] for name in state if name != "norm.bias" and "blocks.2" not in name},
                tmp_path / "m.pth",
            ),
            r"12 of 60 tensors .* first is blocks\.2\.norm1\.weight \(missing in the file, \(128,\) in the layout\)"
            "; name its method: weaktr, mctformer-v1, mctformer-v2, mctformer-plus",
        ),
    }


@pytest.mark.parametrize("case", ["cut", "text", "gone", "no number", "missing"])
def test_a_spoiled_checkpoint_leaves_nothing(tmp_path: Path, names: Path, case: str) -> None:
    path, message = spoiled(tmp_path)[case]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(WeightsError, match=message) as error:
        import_checkpoint(path, "weaktr", names, tmp_path / "deep/run")
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_malicious_checkpoint_is_refused_and_not_executed(tmp_path: Path, names: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'sprung'}",)

    torch.save({"model": checkpoint("weaktr"), "args": Trap()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"wants to call \w+\.system, which no tensor needs; nothing was executed"):
        import_checkpoint(tmp_path / "w.pth", "weaktr", names, tmp_path / "run")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["names.txt", "w.pth"]


LISTS = {
    "more": ("red\ngreen\nblue\ngrey\n", False, r"the head has 3 classes, .*names\.txt lists 4; list the classes"),
    "background counted": ("background\nred\ngreen\n", False, r"the head has 3 classes, .* lists 2; .* --background"),
    "twice": ("red\nred\nblue\n", False, "red is listed twice"),
    "empty": ("\n", True, "names no class"),
}


@pytest.mark.parametrize("case", LISTS)
def test_classes_that_do_not_fit(tmp_path: Path, names: Path, case: str) -> None:
    text, background, message = LISTS[case]
    names.write_text(text)
    path = save(checkpoint("mctformer-v1"), tmp_path / "w.pth")
    with pytest.raises((DataError, WeightsError), match=message):
        import_checkpoint(path, "mctformer-v1", names, tmp_path / "run", background=background)
    names.unlink()
    with pytest.raises(DataError, match="there is no such file"):
        import_checkpoint(path, "mctformer-v1", names, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_place_that_is_taken_and_a_method_without_checkpoints(tmp_path: Path, names: Path) -> None:
    path = save(checkpoint("mctformer-v1"), tmp_path / "w.pth")
    (tmp_path / "run").mkdir()
    with pytest.raises(RunError, match="run already exists; choose another name"):
        import_checkpoint(path, "mctformer-v1", names, tmp_path / "run")
    assert not any((tmp_path / "run").iterdir())
    with pytest.raises(SettingsError, match="of method 'tokenmasking' are known; choose one of weaktr, mctformer-v1"):
        import_checkpoint(path, "tokenmasking", names, tmp_path / "other")


def test_import_on_the_command_line(
    tmp_path: Path, names: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = save(checkpoint("mctformer-v2"), tmp_path / "w.pth"), tmp_path / "deep/run"
    words = ["import", path, "--method", "mctformer-v2", "--classes", names, "--out", run]
    assert call(monkeypatch, *words, "--background", "--image-size", 48, "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["run"], result["classes"], result["image_size"]) == (str(run), 3, 48)
    assert (result["recipe"], result["unread"]) == ("voc-mctformer-v2", ["norm.bias", "norm.weight"])
    assert call(monkeypatch, *words) == 2
    assert "already exists" in capsys.readouterr().err
    assert call(monkeypatch, *words[:-1], tmp_path / "run") == 0
    assert f"tag2mask masks {tmp_path / 'run'} --data DATA --recipe voc-mctformer-v2" in capsys.readouterr().out
    assert (of_run(run).card.side, of_run(run).card.checkpoint_sha256) == (48, file_hash(run / "model.safetensors"))
