from __future__ import annotations

import pytest
import torch
from torch import nn

from numbered import START, numbered
from tag2mask.errors import SettingsError
from tag2mask.methods import Ask, build_method
from tag2mask.methods.attended import Attended
from tag2mask.vit.settings import BackboneSettings

TINY = BackboneSettings(name="vit_tiny_patch16_224", image_size=64, drop_path=0.0)


def build(**settings: object) -> Attended:
    torch.manual_seed(0)
    method, _ = build_method("attended", numbered(4), TINY, settings, "none")
    assert isinstance(method, Attended)
    return method


def test_training_needs_tags_of_the_right_shape() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 4\), got none"):
        build()(torch.randn(2, 3, 64, 64))
    with pytest.raises(ValueError, match=r"shape \(2, 4\), got \(2, 3\)"):
        build()(torch.randn(2, 3, 64, 64), torch.zeros(2, 3))


def test_logits_are_the_attention_weighted_activations() -> None:
    method = build(attended_layers=2, map_layers=2, maps="attention").eval()
    images = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        evidence = method(images, ask=Ask(maps=True))
        patches = method.vit.norm(method.vit(images).patch_BMD)
        activation_BCM = torch.einsum("cd,bmd->bcm", method.head.vector_D, patches)
    assert evidence.maps_BChw.shape == (2, 4, 4, 3)
    wanted = (evidence.maps_BChw.flatten(2) / 2 * activation_BCM).sum(-1) + method.head.bias
    torch.testing.assert_close(evidence.scores_BC, wanted, atol=1e-4, rtol=1e-4)


def test_contributions_add_up_to_the_logit() -> None:
    method = build(attended_layers=2, map_layers=2).eval()
    torch.nn.init.constant_(method.head.vector_D, 0.1)
    method.vit.norm = torch.nn.Softplus()  # nothing below 0: the clamp has nothing to do
    images = torch.randn(2, 3, 48, 64)
    with torch.no_grad():
        evidence = method(images, ask=Ask(maps=True))
    assert evidence.maps_BChw is not None
    logits = evidence.maps_BChw.sum((2, 3)) / 2 + method.head.bias
    torch.testing.assert_close(logits, evidence.scores_BC)


def test_the_loss_moves_attention_and_tokens() -> None:
    method = build(pruning=False, masking_ratio=0.0)
    tags = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 1.0, 0]])
    sum(method.loss(method(torch.randn(2, 3, 64, 64), tags), tags, START).values()).backward()
    assert method.vit.class_CD.grad.abs().sum() > 0
    assert method.vit.attentions[-1].qkv.weight.grad[: 2 * method.vit.width].abs().sum() > 0


def test_gate_penalty_is_lambda_times_the_expected_number_of_open_heads() -> None:
    method = build(pruning=True, gate_penalty=0.01)
    for gate in method.vit.gates():
        gate.log_alpha_H.data.zero_()
    assert method.penalty().item() == pytest.approx(0.01 * 12 * 3 * 0.688112, abs=1e-5)
    assert method.open_heads() == [3] * 12
    assert build(pruning=False).open_heads() is None


def test_more_layers_than_the_backbone_has_are_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"^method\.map_layers: the last 13 layers were requested, but the backbone has only 12"
    ):
        build(map_layers=13)
    with pytest.raises(SettingsError, match=r"^method\.attended_layers: the last 13 layers"):
        build(attended_layers=13)


def test_pruned_method_gives_the_same_evidence() -> None:
    method = build(pruning=True).eval()
    for gate in method.vit.gates():
        nn.init.normal_(gate.log_alpha_H, std=4)
    images, ask = torch.randn(1, 3, 64, 64), Ask(maps=True, affinity=True)
    with torch.no_grad():
        before = method(images, ask=ask)
        method.vit.prune()
        after = method(images, ask=ask)
    torch.testing.assert_close(after.scores_BC, before.scores_BC, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(after.maps_BChw, before.maps_BChw, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(after.affinity_BMM, before.affinity_BMM, atol=1e-6, rtol=1e-4)
