"""Where a segmenter starts: at the run's backbone, with a decoder that already knows the masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from tag2mask.data.reading import read_mask
from tag2mask.data.writing import write_mask
from tag2mask.errors import DataError, SettingsError
from tag2mask.masks.write import open_mask_set
from tag2mask.probe.linear import UNSURE
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.start import copy_backbone, fit_linear, patch_labels
from tag2mask.segmentation.train import resolve_segmenter, segment
from tag2mask.training.run import open_run
from tag2mask.vit.vit import ViT


def vit(classes: int, **options: object) -> ViT:
    backbone = timm.create_model("test_vit", img_size=32, dynamic_img_size=True, num_classes=0)
    return ViT(backbone, classes, registers=0, **options).eval()


@pytest.mark.parametrize("options", [{"gated": False}, {"gated": True}], ids=["plain", "gated"])
def test_a_copied_backbone_computes_the_same_patches(options: dict[str, bool]) -> None:
    torch.manual_seed(0)
    source = vit(5, token_blocks=1, **options)  # class tokens only read, so patches do not depend on them
    for attention in source.attentions:
        if attention.gate is not None:
            torch.nn.init.normal_(attention.gate.log_alpha_H)
    target = vit(1, gated=False, token_noise=0.0)
    images = torch.randn(2, 3, 32, 48)
    assert not torch.allclose(source(images).patch_BMD, target(images).patch_BMD, atol=1e-3)
    assert copy_backbone(source, target) == len(target.state_dict()) - 1  # there are no registers to copy
    torch.testing.assert_close(target(images).patch_BMD, source(images).patch_BMD, atol=1e-5, rtol=1e-4)


def test_the_own_class_token_of_early_class_tokens_is_their_mean() -> None:
    source, target = vit(4, gated=False, token_noise=0.5), vit(1, gated=False)
    copy_backbone(source, target)
    torch.testing.assert_close(target.class_CD, source.class_CD.mean(0, keepdim=True))


def test_positions_of_another_grid_are_resampled(run: Path, masks: Path, tmp_path: Path) -> None:
    out = segment(run, masks, tmp_path / "out", SegmentSettings(epochs=1, crop=48)).path
    assert load_file(out / "model.safetensors")["encoder.position"].shape[1:3] == (6, 6)
    assert open_segmenter(out).settings.weights == "run"
    said = json.loads((out / "weights.json").read_text())["source"]
    assert said == "none (random initialisation), trained on tags by run run"


def test_a_patch_gets_a_label_as_often_as_it_fills_it() -> None:
    labels = torch.zeros(40, 30, dtype=torch.int64)
    labels[:, 3] = 2  # a tenth of each patch of the first column
    labels[:, 10:20] = 255
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([patch_labels(labels, 10, 255, generator) for _ in range(200)]).view(200, 4, 3)
    assert (drawn[..., 0] == 2).float().mean().item() == pytest.approx(0.1, abs=0.04)
    assert set(drawn[..., 0].unique().tolist()) == {0, 2}
    assert (drawn[..., 1] == UNSURE).all()
    assert (drawn[..., 2] == 0).all()
    assert patch_labels(labels[:5, :5], 10, 255, generator).shape == (1,)


def test_a_fitted_layer_separates_what_can_be_separated_and_knows_how_common_it_is() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(4000, generator=generator) < 0.1).long()
    features = torch.randn(4000, 64, generator=generator) + 0.6 * labels[:, None]
    probe = fit_linear(features.half(), labels, 3, 0)
    found = probe(features).argmax(1)
    assert (found == labels).float().mean() > 0.95
    nowhere = fit_linear(torch.zeros(4000, 6).half(), labels, 3, 0)(torch.zeros(1, 6)).softmax(1)[0]
    assert nowhere[:2].tolist() == pytest.approx([0.9, 0.1], abs=0.03)


def test_it_has_learned_the_masks_before_the_first_step(run: Path, masks: Path, tmp_path: Path) -> None:
    slow = {"lr": 1e-9, "weight_decay": 0.0}
    losses = {}
    for decoder in ("linear", "mask-transformer"):
        settings = SegmentSettings.parse({"epochs": 1, "decoder": decoder, "optimiser": slow})
        losses[decoder] = segment(run, masks, tmp_path / decoder, settings).loss
    assert losses["linear"] < losses["mask-transformer"] - 0.2


def test_masks_without_any_label_teach_nothing(run: Path, masks: Path, tmp_path: Path) -> None:
    opened = open_mask_set(masks)
    for name in opened.names():
        write_mask(tmp_path / f"truth/{name}.png", np.full_like(read_mask(opened.mask(name)), 255), opened.classes)
    with pytest.raises(DataError, match="they are all ignore"):
        segment(run, None, tmp_path / "out", SegmentSettings(epochs=1), tmp_path / "truth", fully_supervised=True)
    assert not (tmp_path / "out").exists()


def test_only_the_runs_own_backbone_starts_from_the_run(run: Path) -> None:
    opened = open_run(run)
    assert resolve_segmenter(SegmentSettings(), opened).weights == "run"
    assert resolve_segmenter(SegmentSettings(weights="pretrained"), opened).weights == opened.settings.weights
    other = {"backbone": {"name": "deit_tiny_patch16_224"}}
    assert resolve_segmenter(SegmentSettings.parse(other), opened).weights == "hub"
    with pytest.raises(SettingsError, match="weights=run: the run has another backbone than deit_tiny_patch16_224"):
        resolve_segmenter(SegmentSettings.parse({**other, "weights": "run"}), opened)
