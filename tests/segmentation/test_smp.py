"""What is smp's own: names, encoders, weights, normalisation, and what is said if something is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import timm
import torch

from command import call
from tag2mask.data import DataSettings
from tag2mask.errors import SettingsError, WeightsError
from tag2mask.masks.write import open_mask_set
from tag2mask.segmentation.build import build_segmenter
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.model import Built
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.smp import STATISTICS, networks, statistics
from tag2mask.segmentation.train import resolve_segmenter
from tag2mask.tensors import write_tensors
from tag2mask.training.run import open_run
from tag2mask.vit.weights import Weights, WeightsReport

smp = pytest.importorskip("segmentation_models_pytorch", reason="extra smp is not installed")
RESNET = "tu-test_resnet"


def build(name: str, encoder: str = RESNET, weights: Weights = "none", bands: int = 3) -> Built:
    return build_segmenter(SegmentSettings(architecture=name, encoder=encoder), DataSettings(bands=bands), 4, weights)


def test_every_architecture_of_smp_is_there_by_its_own_name() -> None:
    assert set(networks()) == set(smp.MODEL_ARCHITECTURES_MAPPING)
    assert SegmentSettings(architecture="DeepLabV3Plus").architecture == "deeplabv3plus"


def test_settings_come_from_smp_unless_given(run: Path) -> None:
    opened = open_run(run)
    chosen = resolve_segmenter(SegmentSettings(architecture="unet"), opened)
    assert (chosen.encoder, chosen.weights, chosen.crop, chosen.backbone) == ("resnet34", "hub", 32, None)
    chosen = resolve_segmenter(SegmentSettings(architecture="DPT", encoder="tu-test_vit", weights="none"), opened)
    assert (chosen.encoder, chosen.weights) == ("tu-test_vit", "none")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"architecture": "unett"}, "architecture 'unett' is unknown; choose one of vit, unet, unetplusplus"),
        (
            {"architecture": "unet", "backbone": {"drop_path": 0}},
            "--backbone is for vit only; name the encoder of unet",
        ),
        ({"encoder": "resnet34"}, "encoder=resnet34: a vit's encoder is its backbone; name it with --backbone"),
        ({"architecture": "unet", "batch_size": 1}, "batch_size 1: the BatchNorm layers of unet need several crops"),
    ],
)
def test_settings_that_do_not_go_together(run: Path, values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        resolve_segmenter(SegmentSettings.parse(values), open_run(run))


@pytest.mark.parametrize(
    ("name", "encoder", "message"),
    [
        ("unet", "resnet35", "encoder 'resnet35' is unknown to smp; try resnet50, resnet34"),
        ("unet", "tu-resnet35", "encoder tu-resnet35: timm .* has no resnet35"),
        ("dpt", "resnet18", "dpt does not work with encoder=resnet18: Only Timm encoders are supported"),
        ("linknet", "mit_b0", "linknet does not work with encoder=mit_b0"),
    ],
)
def test_encoders_that_do_not_work_are_one_line(name: str, encoder: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        build(name, encoder)
    assert "\n" not in str(caught.value)


def test_without_the_extra_the_error_names_the_command(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(SettingsError, match=r"pip install 'tag2mask\[smp\]'"):
        resolve_segmenter(SegmentSettings(architecture="unet"), open_run(run))
    assert resolve_segmenter(SegmentSettings(), open_run(run)).architecture == "vit"


def test_without_internet_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise FileNotFoundError("cannot find the requested files in the local cache")

    monkeypatch.setattr(smp, "create_model", unreachable)
    with pytest.raises(
        WeightsError, match=r"weights of resnet18 could not be downloaded .* give a file with --weights FILE"
    ):
        build("unet", "resnet18", "hub")


@pytest.mark.parametrize("bands", [1, 3, 13])
def test_an_encoders_file_fills_it_and_its_first_convolution_fits_the_bands(tmp_path: Path, bands: int) -> None:
    path = tmp_path / "encoder.safetensors"
    torch.manual_seed(1)
    own = timm.create_model("test_resnet", features_only=True).state_dict()
    write_tensors(path, {**own, "fc.weight": torch.zeros(2, 2)}, {})
    built = build("unet", RESNET, path, bands)
    assert built.report == WeightsReport("encoder.safetensors", len(own), (), ("model.fc.weight",))
    found = {key.removeprefix("model."): value for key, value in built.segmenter.model.encoder.state_dict().items()}
    first = next(key for key in own if own[key].ndim == 4)
    assert all(torch.equal(own[key], found[key]) for key in own if key != first)
    wanted = own[first].sum(1, keepdim=True) if bands == 1 else own[first].repeat(1, 5, 1, 1)[:, :bands] * 3 / bands
    torch.testing.assert_close(found[first], wanted)


def test_a_file_of_another_encoder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    write_tensors(path, build("unet").segmenter.model.encoder.state_dict(), {})
    with pytest.raises(WeightsError, match=r"does not fit the encoder resnet18: it lacks bn1\.bias; name its own with"):
        build("unet", "resnet18", path)


def test_normalisation_is_the_encoders_own(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"input_space": "RGB", "input_range": [0, 1], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    monkeypatch.setattr(smp.encoders, "get_preprocessing_params", lambda *_: wanted)
    assert statistics("resnet18", True, 3) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert statistics("resnet18", True, 2) == (pytest.approx((0.2, 0.2)), pytest.approx((0.5, 0.5)))
    config = timm.get_pretrained_cfg("test_resnet")
    assert statistics(RESNET, False, 3) == (config.mean, config.std)
    monkeypatch.setitem(wanted, "input_space", "BGR")
    with pytest.raises(WeightsError, match="resnet18 expects BGR"):
        statistics("resnet18", True, 3)


@pytest.mark.parametrize(
    ("encoder", "in_timm"),
    [
        ("resnet34", "resnet34"),
        ("dpn68", "dpn68"),
        ("inceptionv4", "inception_v4"),
        ("inceptionresnetv2", "inception_resnet_v2"),
        ("xception", "legacy_xception"),
        ("vgg16", "vgg16"),
        ("densenet121", "densenet121"),
        ("senet154", "legacy_senet154"),
        ("timm-tf_efficientnet_lite0", "tf_efficientnet_lite0"),
        ("timm-skresnet18", "skresnet18"),
        ("mobileone_s0", "mobileone_s0"),
    ],
)
def test_what_is_known_without_internet_is_what_timm_says_of_the_same_weights(encoder: str, in_timm: str) -> None:
    config = timm.get_pretrained_cfg(in_timm)
    mean, std = statistics(encoder, False, 3)
    assert mean == pytest.approx(config.mean)
    assert std == pytest.approx(config.std)
    assert all(any(name.startswith(start) for name in smp.encoders.get_encoder_names()) for start in STATISTICS)


def test_a_unet_is_trained_resumed_and_predicts_by_command(
    run: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "student"
    words = ("segment", run, "--masks", masks, "--out", out, "--architecture", "UNet", "--weights", "none")
    words += ("--epochs", 2, "--batch-size", 7, "--set", f"encoder={RESNET}", "--set", "precision=fp32")
    assert call(monkeypatch, *words) == 0  # eight images: the last crop is alone in its batch
    assert call(monkeypatch, *words, "--resume") == 0
    opened = open_segmenter(out)
    assert (opened.settings.architecture, opened.settings.encoder) == ("unet", RESNET)
    assert opened.mean == timm.get_pretrained_cfg("test_resnet").mean
    assert call(monkeypatch, "predict", out, "--out", tmp_path / "predicted", "--split", "val") == 0
    assert len(open_mask_set(tmp_path / "predicted").names()) == 4
    assert (
        call(monkeypatch, *words[:3], masks, "--out", tmp_path / "x", "--architecture", "unet", "--backbone", "a") == 2
    )
    assert "--backbone is for vit only" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
