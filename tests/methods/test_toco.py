"""ToCo against its equations in plain torch, pair by pair and crop by crop."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from backbones import small as small_backbone
from interruption import interrupted_after
from numbered import numbered
from tag2mask import make_masks, train
from tag2mask.errors import SettingsError
from tag2mask.methods import Progress, build_method
from tag2mask.methods.toco import ToCo, ToCoSettings
from tag2mask.methods.toco.model import (
    UNCERTAIN,
    PooledClassifier,
    class_contrast,
    crop_labels,
    patch_contrast,
    pseudo_labels,
    relative,
)
from tag2mask.reports.page import write_report
from tag2mask.training.run import open_run
from tag2mask.vit.settings import BackboneSettings

TINY = BackboneSettings(name="vit_tiny_patch16_224", image_size=64, drop_path=0.0)
LOW, HIGH = 0.25, 0.7


def build(**settings: object) -> ToCo:
    torch.manual_seed(0)
    method, _ = build_method("toco", numbered(4), TINY, settings, "none")
    assert isinstance(method, ToCo)
    for head in (method.head, method.auxiliary_head):
        torch.nn.init.normal_(head.vector_CD, std=0.3)
    return method


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Images, tags and three local crops of each."""
    torch.manual_seed(1)
    tags = torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 0]])
    return torch.randn(2, 3, 64, 48), tags, torch.randn(2, 3, 3, 32, 32)


def test_a_logit_is_read_from_the_largest_value_of_every_channel() -> None:
    head = PooledClassifier(2, 3)
    head.vector_CD.data = torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 1.0]])
    patches = torch.tensor([[[1.0, -5.0, 0.0], [-2.0, 3.0, -4.0]]])
    assert head(patches).tolist() == [[1 + 6 - 2, -3 + 0 - 2]]
    assert head.maps(patches).tolist() == [[[0.0, 4.0], [5.0, 0.0]]]


def test_maps_are_shares_of_their_peak_and_a_class_without_one_has_none() -> None:
    maps = torch.tensor([[[1.0, 4.0, 2.0], [0.0, 0.0, 0.0]]])
    assert relative(maps, maps.amax(-1)).tolist() == [[[0.25, 1.0, 0.5], [0.0, 0.0, 0.0]]]
    crop = torch.tensor([[[2.0, 8.0], [3.0, 3.0]]])  # on the scale of the image: beyond 1, and where it has nothing
    assert relative(crop, maps.amax(-1)).tolist() == [[[0.5, 2.0], [0.0, 0.0]]]


def test_two_thresholds_make_foreground_background_and_uncertain_patches() -> None:
    maps = torch.tensor([[[0.7, 0.69, 0.25, 0.1, 0.1], [0.1, 0.1, 0.1, 0.26, 1.0]]])
    assert pseudo_labels(maps, LOW, HIGH).tolist() == [[1, UNCERTAIN, 0, UNCERTAIN, 2]]


def test_patch_contrast_pair_by_pair() -> None:
    torch.manual_seed(0)
    patches = torch.randn(3, 6, 5)
    labels = torch.tensor([[0, 0, 1, 1, 2, UNCERTAIN], [0, UNCERTAIN, 3, 3, UNCERTAIN, 3], [UNCERTAIN] * 6])
    wanted = []
    for tokens, label in zip(patches, labels.tolist(), strict=True):
        together, apart = [], []
        for i in range(6):
            for j in range(6):
                if i == j or UNCERTAIN in (label[i], label[j]):
                    continue
                cosine = (tokens[i] @ tokens[j] / (tokens[i].norm() * tokens[j].norm())).item()
                if label[i] == label[j]:
                    together.append(1 - cosine)
                else:
                    apart.append(cosine)
        wanted.append(sum(together) / max(len(together), 1) + sum(apart) / max(len(apart), 1))
    assert wanted[2] == 0
    assert patch_contrast(patches, labels).item() == pytest.approx(sum(wanted) / 3, abs=1e-6)


def test_patch_contrast_is_least_where_labels_are_opposite_directions() -> None:
    labels = torch.tensor([[0, 0, 1, 1]])
    ideal = torch.tensor([[[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [-3.0, 0.0]]])
    assert patch_contrast(ideal, labels).item() == pytest.approx(-1.0)
    assert patch_contrast(torch.ones(1, 4, 2), labels).item() == pytest.approx(1.0)  # all alike: over-smoothed


def test_a_crop_is_what_the_mean_of_its_best_class_says() -> None:
    maps = torch.tensor(
        [
            [[0.1, 0.3], [0.2, 0.0]],  # 0.2: background
            [[0.9, 0.1], [0.2, 0.2]],  # 0.5: uncertain
            [[0.1, 0.1], [0.6, 0.9]],  # 0.75: the second class
            [[5.0, 0.0], [0.0, 0.0]],  # beyond the image's peak, taken as 1: 0.5
        ]
    )
    assert crop_labels(maps[None], LOW, HIGH).tolist() == [[0, UNCERTAIN, 2, UNCERTAIN]]


@pytest.mark.parametrize("temperature", [0.5, 0.05])
def test_class_contrast_crop_by_crop(temperature: float) -> None:
    torch.manual_seed(0)
    whole, local = torch.randn(4, 7), torch.randn(4, 5, 7, requires_grad=True)
    labels = torch.tensor(
        [
            [UNCERTAIN, UNCERTAIN, 0, 0, 1],
            [UNCERTAIN, 0, 2, 2, 2],
            [UNCERTAIN, UNCERTAIN, 1, 1, 1],  # nothing to contrast them with
            [0, 0, 0, 0, 2],
        ]
    )
    wanted = []
    for token, crops, label in zip(whole, local.detach(), labels.tolist(), strict=True):
        scaled = [math.exp(torch.cosine_similarity(token, crop, dim=0).item() / temperature) for crop in crops]
        negative = sum(value for value, one in zip(scaled, label, strict=True) if one == 0)
        own = [-math.log(v / (v + negative)) for v, one in zip(scaled, label, strict=True) if one == UNCERTAIN]
        wanted.append(sum(own) / max(len(own), 1))
    assert wanted[2:] == [0, 0]
    loss = class_contrast(whole, local, labels, temperature)
    assert loss.item() == pytest.approx(sum(wanted) / 4, abs=1e-5)
    loss.backward()
    used = (local.grad.abs().sum(-1) > 0).tolist()
    assert used == [[True] * 4 + [False], [True, True, False, False, False], [False] * 5, [False] * 5]


def explicit(method: ToCo, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Class token, last patches and those of layer 10, all after the last norm, by a hook."""
    inner: list[Tensor] = []
    hook = method.vit.blocks[9].register_forward_hook(lambda _, __, out: inner.append(out))
    features = method.vit(images)
    hook.remove()
    return tuple(method.vit.norm(x) for x in (features.class_BCD[:, 0], features.patch_BMD, inner[0][:, 1:]))


def test_the_terms_are_those_of_layer_10_of_the_image_and_its_crops() -> None:
    method, (images, tags, crops) = build().train(), inputs()
    for parameter in method.teacher.parameters():  # it is another one than the projector
        torch.nn.init.normal_(parameter, std=0.1)
    evidence = method(images, tags, views=[crops])
    with torch.no_grad():
        token, patches, inner = explicit(method, images)
        weight = method.auxiliary_head.vector_CD
        torch.testing.assert_close(evidence.logits["auxiliary"], inner.amax(1) @ weight.T - 2)
        torch.testing.assert_close(evidence.logits["patches"], patches.amax(1) @ method.head.vector_CD.T - 2)
        assert evidence.scores_BC is evidence.logits["patches"]
        maps = torch.einsum("bmd,cd->bcm", inner, weight).relu() * tags[:, :, None]
        peak = maps.amax(-1).clamp_min(1e-6)
        labels = pseudo_labels(maps / peak[..., None], LOW, HIGH)
        assert {0, UNCERTAIN} < set(labels.flatten().tolist())
        torch.testing.assert_close(evidence.terms["patch_contrast"], patch_contrast(patches, labels))
        projected, of_crops = [], []
        for crop, one in zip(crops.flatten(0, 1), [0, 0, 0, 1, 1, 1], strict=True):
            crop_token, _, crop_inner = explicit(method, crop[None])
            crop_maps = (crop_inner[0] @ weight.T).T.relu() * tags[one][:, None] / peak[one][:, None]
            best = crop_maps.clamp(max=1).mean(1).max().item()
            of_crops.append(0 if best <= LOW else 1 if best >= HIGH else UNCERTAIN)
            projected.append(method.projector(crop_token)[0])
        assert {0, UNCERTAIN} <= set(of_crops)
        labels_BK, local = torch.tensor(of_crops).view(2, 3), torch.stack(projected).view(2, 3, -1)
        wanted = class_contrast(method.teacher(token), local, labels_BK, 0.5)
    assert wanted > 0
    torch.testing.assert_close(evidence.terms["class_contrast"], wanted)


def test_contrasts_train_the_transformer_and_the_projector_but_not_what_judges() -> None:
    method, (images, tags, crops) = build().train(), inputs()
    sum(method(images, tags, views=[crops]).terms.values()).backward()
    moved = {name for name, parameter in method.named_parameters() if parameter.grad is not None}
    assert {name for name in moved if not name.startswith("vit.")} == {
        f"projector.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
    }
    assert "vit.blocks.0.attn.qkv.weight" in moved


@pytest.mark.parametrize(("step", "on"), [(0, 0.0), (9, 0.0), (10, 1.0), (99, 1.0)])
def test_contrasts_count_after_a_tenth_of_the_steps(step: int, on: float) -> None:
    method, (images, tags, crops) = build().train(), inputs()
    evidence = method(images, tags, views=[crops])
    terms = method.loss(evidence, tags, Progress(step=step, steps=100, epoch=0, epochs=1))
    assert list(terms) == ["patches", "auxiliary", "patch_contrast", "class_contrast"]
    assert torch.equal(terms["patch_contrast"], on * 0.2 * evidence.terms["patch_contrast"])
    assert torch.equal(terms["class_contrast"], on * 0.5 * evidence.terms["class_contrast"])
    margin = torch.nn.functional.multilabel_soft_margin_loss
    assert torch.equal(terms["auxiliary"], margin(evidence.logits["auxiliary"], tags))


def test_training_needs_tags_and_evaluation_has_no_contrast() -> None:
    method, (images, tags, _) = build(), inputs()
    with pytest.raises(ValueError, match=r"shape \(2, 4\), got none"):
        method.train()(images)
    assert method.eval()(images, tags).terms == {}


@pytest.mark.parametrize(("family", "depth", "layer"), [("patch8", 2, 1), ("deit", 3, 2), ("full", 12, 10)])
def test_the_auxiliary_layer_of_any_depth(family: str, depth: int, layer: int) -> None:
    method = build() if family == "full" else ToCo(small_backbone(family), numbered(2), ToCoSettings())
    assert len(method.vit.blocks) == depth
    assert method.inner_layer == layer - 1


@pytest.mark.parametrize(("family", "side"), [("dinov2", 98), ("deit", 96), ("patch32", 96)])
def test_crops_are_whole_patches(family: str, side: int) -> None:
    [crops] = ToCo(small_backbone(family), numbered(2), ToCoSettings(crops=7)).crops
    assert (crops.count, crops.side, crops.scale) == (7, side, (0.05, 0.2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"auxiliary_layer": 13}, "method.auxiliary_layer: there is no layer 13: the backbone has layers 1 to 12"),
        ({"auxiliary_layer": 0}, "auxiliary_layer: "),
        ({"low": 0.7}, r"low is 0\.7, but must be below high, 0\.7"),
        ({"crop_scale": [0.5, 0.2]}, "crop_scale: give the smaller fraction first"),
        ({"crop_scale": [0.0, 0.2]}, "crop_scale"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        build(**settings)


@pytest.fixture
def toco(small: dict[str, Any]) -> dict[str, Any]:
    """Settings of a training of four steps, of which the last three contrast."""
    return {**small, "method": "toco", "method_settings": {"crop_side": 16, "warmup": 0.25, "high": 0.9, "low": 0.3}}


def test_resumed_it_is_the_uninterrupted_run(squares: Path, tmp_path: Path, toco: dict[str, Any]) -> None:
    train(squares, tmp_path / "whole", **toco)
    with interrupted_after(2), pytest.raises(KeyboardInterrupt):
        train(squares, tmp_path / "halved", **toco)
    train(squares, tmp_path / "halved", resume=True, **toco)
    one, other = (load_file(tmp_path / name / "state.safetensors") for name in ("whole", "halved"))
    assert one.keys() == other.keys()
    assert any(name.startswith("model.teacher.") for name in one)
    assert all(torch.equal(one[name], other[name]) for name in one if name.startswith(("model.", "optimiser.")))
    loss = [json.loads(row)["loss"] for row in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert all(row["patch_contrast"] > 0 for row in loss)
    assert not any(name.startswith("teacher.") for name in load_file(tmp_path / "whole/model.safetensors"))


@pytest.mark.parametrize(("bands", "precision"), [(1, "fp32"), (13, "bf16")])
def test_any_bands_and_bf16_to_masks_and_a_report(
    make_squares: Callable[..., Path], tmp_path: Path, toco: dict[str, Any], bands: int, precision: str
) -> None:
    data = make_squares(bands=bands)
    train(data, tmp_path / "run", **{**toco, "precision": precision, "data": {"bands": bands}})
    assert open_run(tmp_path / "run").load_method().teacher is None
    make_masks(tmp_path / "run")
    write_report(tmp_path / "run")
    assert "class_contrast" in (tmp_path / "run/report.html").read_text(encoding="utf-8")
