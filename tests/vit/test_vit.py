from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from backbones import GRIDS, explicit, small
from tag2mask.errors import SettingsError
from tag2mask.vit.tap import Tap
from tag2mask.vit.vit import ViT

CLASSES = 3


def layers(vit: ViT) -> frozenset[int]:
    return frozenset(range(len(vit.blocks)))


@pytest.mark.parametrize("grid", GRIDS, ids=["square", "oblong"])
def test_forward_and_attention_equal_plain_timm_with_explicit_softmax(
    backbone: nn.Module, grid: tuple[int, int]
) -> None:
    vit = ViT(copy.deepcopy(backbone), CLASSES, registers=0).eval()
    for attention in vit.attentions:
        attention.gate.log_alpha_H.data.fill_(5.0)
    images = torch.randn(2, 3, grid[0] * vit.patch, grid[1] * vit.patch)
    tap = Tap(layers(vit), layers(vit), per_head=True)
    with torch.no_grad():
        features = vit(images, tap)
        out_BND, maps = explicit(backbone, vit)(images)
    patches = slice(out_BND.shape[1] - grid[0] * grid[1], None)
    torch.testing.assert_close(features.class_BCD, out_BND[:, :CLASSES], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(features.patch_BMD, out_BND[:, patches], atol=1e-4, rtol=1e-4)
    for layer, attention_BHNN in enumerate(maps):
        assert (tap.rows[layer] - attention_BHNN[:, :, :CLASSES, patches]).abs().max() < 1e-5
    mean_BNN = sum(attention_BHNN.mean(1) for attention_BHNN in maps)
    assert (tap.class_maps(layers(vit)) - mean_BNN[:, :CLASSES, patches]).abs().max() < 1e-5
    assert (tap.affinity_BMM - mean_BNN[:, patches, patches]).abs().max() < 1e-5
    assert features.grid == grid


@pytest.mark.parametrize("normed", [False, True], ids=["raw", "normed"])
@pytest.mark.parametrize("family", ["deit", "augreg", "dinov2", "dinov2-registers", "eva02", "rope-mixed"])
def test_patch_tokens_of_any_layer_are_timms(family: str, normed: bool) -> None:
    plain = small(family)
    vit = ViT(copy.deepcopy(plain), 1, registers=0, gated=False, token_noise=0.0).eval()
    images, wanted = torch.randn(2, 3, 3 * vit.patch, 5 * vit.patch), sorted(layers(vit))[::2]
    tap = Tap(patch_layers=frozenset(wanted))
    with torch.no_grad():
        features = vit(images, tap)
        theirs = plain.forward_intermediates(
            images, indices=wanted, norm=normed, output_fmt="NLC", intermediates_only=True
        )
        assert sorted(tap.patches) == wanted
        for layer, patch_BMD in zip(wanted, theirs, strict=True):
            if normed and isinstance(plain.norm, nn.Identity):  # eva02: timm's last norm is behind its pooling
                patch_BMD = plain.fc_norm(patch_BMD)
            own_BMD = vit.norm(tap.patches[layer]) if normed else tap.patches[layer]
            torch.testing.assert_close(own_BMD, patch_BMD, atol=1e-4, rtol=1e-4)
    if len(vit.blocks) - 1 in wanted:
        assert torch.equal(tap.patches[len(vit.blocks) - 1], features.patch_BMD)


def test_patch_tokens_nobody_asked_for_are_not_kept() -> None:
    vit = ViT(small("deit"), CLASSES).eval()
    tap = Tap(layers(vit))
    vit(torch.randn(1, 3, 64, 64), tap)
    assert tap.patches == {}


def test_gates_scale_heads_and_closed_heads_do_not_count_in_maps() -> None:
    vit = ViT(small("deit"), CLASSES, registers=1).eval()
    images = torch.randn(1, 3, 64, 64)
    for attention in vit.attentions:
        attention.gate.log_alpha_H.data = torch.tensor([5.0, -5.0, 5.0])
    tap, single = Tap(layers(vit)), Tap(layers(vit), per_head=True)
    with torch.no_grad():
        gated = vit(images, tap).class_BCD
        vit(images, single)
        for attention in vit.attentions:
            attention.proj.weight.data[:, attention.head_width : 2 * attention.head_width] = 0
            attention.gate.log_alpha_H.data = torch.tensor([5.0, 5.0, 5.0])
        cut = vit(images).class_BCD
    torch.testing.assert_close(gated, cut, atol=1e-6, rtol=1e-5)
    wanted = sum((rows[:, 0] + rows[:, 2]) / 2 for rows in single.rows.values())
    torch.testing.assert_close(tap.class_maps(layers(vit)), wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("family", ["deit", "dinov3", "rope-mixed", "eva02"])
def test_prune_removes_heads_and_keeps_output_and_maps(family: str) -> None:
    vit = ViT(small(family), CLASSES).eval()
    gates = [[5.0, -5.0, 0.3], [-5.0, -5.0, 5.0], [-5.0, -5.0, -5.0]]
    for attention, log_alpha in zip(vit.attentions, gates, strict=True):
        attention.gate.log_alpha_H.data = torch.tensor(log_alpha)
    images = torch.randn(2, 3, 4 * vit.patch, 3 * vit.patch)
    before, after = Tap(layers(vit), layers(vit)), Tap(layers(vit), layers(vit))
    weights = sum(parameter.numel() for parameter in vit.parameters())
    with torch.no_grad():
        wanted = vit(images, before)
        assert vit.open_heads() == [2, 1, 0]
        vit.prune()
        got = vit(images, after)
    assert [attention.heads for attention in vit.attentions] == [2, 1, 1]
    assert sum(parameter.numel() for parameter in vit.parameters()) < weights
    assert vit.open_heads() == [2, 1, 0]
    torch.testing.assert_close(got.class_BCD, wanted.class_BCD, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(got.patch_BMD, wanted.patch_BMD, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(after.class_maps(layers(vit)), before.class_maps(layers(vit)), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(after.affinity_BMM, before.affinity_BMM, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("policy", ["no_classes", "readers"])
def test_class_tokens_that_do_not_see_each_other(policy: str) -> None:
    vit = ViT(small("deit"), CLASSES, class_attention=policy).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = vit(images)
        vit.class_CD[0] += 1.0
        after = vit(images)
    assert not torch.allclose(before.class_BCD[:, 0], after.class_BCD[:, 0])
    unmoved = torch.allclose(before.patch_BMD, after.patch_BMD, atol=1e-6)
    assert unmoved == (policy == "readers")
    if policy == "readers":
        torch.testing.assert_close(before.class_BCD[:, 1:], after.class_BCD[:, 1:])


def test_class_tokens_start_at_the_pretrained_one() -> None:
    backbone = small("dinov2")
    pretrained = (backbone.cls_token[0] + backbone.pos_embed[0, :1]).detach()
    assert torch.equal(ViT(backbone, CLASSES, token_noise=0.0).class_CD, pretrained.expand(CLASSES, -1))


@pytest.mark.parametrize(
    "name", ["swin_tiny_patch4_window7_224", "resnet18", "beit_base_patch16_224", "deit_tiny_distilled_patch16_224"]
)
def test_other_models_are_refused_and_some_that_fit_are_named(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
    with pytest.raises(SettingsError, match=r"not a plain ViT; use one such as .*dinov2"):
        ViT(model, CLASSES)


@pytest.mark.parametrize(
    "name", ["vitamin_small_224", "vit_small_r26_s32_224", "vit_small_resnet26d_224", "vit_base_mci_224"]
)
def test_a_cnn_before_the_blocks_is_refused(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0)
    with pytest.raises(SettingsError, match="VisionTransformer with HybridEmbed is not a plain ViT; use one such as "):
        ViT(model, CLASSES)


def test_sides_must_be_multiples_of_the_patch() -> None:
    with pytest.raises(SettingsError, match=r"64 x 60 pixels: sides must be multiples of the patch size, 16"):
        ViT(small("deit"), CLASSES)(torch.zeros(1, 3, 64, 60))
