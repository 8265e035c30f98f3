from __future__ import annotations

import pytest
import torch
from torch import nn

from numbered import START, numbered
from tag2mask.errors import SettingsError
from tag2mask.methods import METHODS, Ask, build_method
from tag2mask.methods.tokenmasking.heads import VectorHead, build_head
from tag2mask.methods.tokenmasking.model import TokenMasking, keep_mask, mask_absent
from tag2mask.training.settings import read_settings
from tag2mask.vit.settings import BackboneSettings

TINY = BackboneSettings(name="vit_tiny_patch16_224", image_size=64, drop_path=0.0)


def build(name: str = "tokenmasking", classes: int = 4, **settings: object) -> TokenMasking:
    torch.manual_seed(0)
    method, _ = build_method(name, numbered(classes), TINY, settings, "none")
    assert isinstance(method, TokenMasking)
    return method


def test_keep_mask_vector() -> None:
    """Section 8.6: y = [1,0,0,1], u = [.1,.2,.7,.9], rate .5 keeps [1,0,1,1]."""
    kept = keep_mask(torch.tensor([[0.1, 0.2, 0.7, 0.9]]), torch.tensor([[1.0, 0.0, 0.0, 1.0]]), 0.5)
    assert kept.tolist() == [[1.0, 0.0, 1.0, 1.0]]


@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.5, 1.0])
def test_masking_drops_only_absent_classes_at_the_given_rate(ratio: float) -> None:
    torch.manual_seed(0)
    tags = (torch.rand(400, 50) < 0.1).float()
    masked = mask_absent(torch.ones(400, 50, 2), tags, ratio)
    assert (masked[tags.bool()] == 1).all()
    assert (masked[~tags.bool()][:, 0] == 0).float().mean().item() == pytest.approx(ratio, abs=0.01)


def test_masking_is_for_training_only_and_drawn_anew() -> None:
    method = build(reads="token", head="concat", maps="attention")
    images, tags = torch.randn(2, 3, 64, 64), torch.tensor([[1.0, 0, 0, 0], [0, 0, 1.0, 0]])
    with torch.no_grad():
        drawn = [method(images, tags).scores_BC for _ in range(4)]
        assert not torch.equal(drawn[0], drawn[1])
        method.eval()
        assert torch.equal(method(images).scores_BC, method(images, tags).scores_BC)


def test_training_needs_tags_of_the_right_shape() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 4\), got none"):
        build()(torch.randn(2, 3, 64, 64))
    with pytest.raises(ValueError, match=r"shape \(2, 4\), got \(2, 3\)"):
        build()(torch.randn(2, 3, 64, 64), torch.zeros(2, 3))


def test_attended_logits_are_the_attention_weighted_activations() -> None:
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
    assert isinstance(method.head, VectorHead)
    torch.nn.init.constant_(method.head.vector_D, 0.1)
    method.vit.norm = torch.nn.Softplus()  # nothing below 0: the clamp has nothing to do
    images = torch.randn(2, 3, 48, 64)
    with torch.no_grad():
        evidence = method(images, ask=Ask(maps=True))
    assert evidence.maps_BChw is not None
    logits = evidence.maps_BChw.sum((2, 3)) / 2 + method.head.bias
    torch.testing.assert_close(logits, evidence.scores_BC)


@pytest.mark.parametrize("wrong", [{"reads": "token"}, {"head": "concat"}])
def test_contributions_need_a_vector_and_patches(wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="maps=attention"):
        build(**wrong)


def test_attended_loss_moves_attention_and_tokens() -> None:
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


@pytest.mark.parametrize("reads", ["attended", "token"])
@pytest.mark.parametrize("head", ["concat", "per_token", "shared", "mean"])
def test_every_head_on_every_reading(head: str, reads: str) -> None:
    method = build(head=head, reads=reads, maps="attention", final_norm=head != "mean")
    assert method.eval()(torch.randn(2, 3, 64, 64)).scores_BC.shape == (2, 4)


def test_heads_grow_as_documented() -> None:
    def count(kind: str, classes: int) -> int:
        return sum(parameter.numel() for parameter in build_head(kind, classes, 768).parameters())

    assert count("concat", 80) == 80 * 80 * 768 + 80
    assert count("per_token", 80) == 80 * 768 + 80
    assert count("shared", 80) == 768 + 1
    assert count("mean", 80) == 0


def test_a_mean_over_normalised_tokens_is_refused() -> None:
    with pytest.raises(SettingsError, match="set final_norm=false"):
        build(head="mean", final_norm=True)


def test_more_map_layers_than_layers_are_refused() -> None:
    with pytest.raises(SettingsError, match="the last 13 layers are asked for, the backbone has 12"):
        build(map_layers=13)


def test_the_paper_preset_is_the_paper() -> None:
    settings = METHODS["tokenmasking-paper"].settings.parse(METHODS["tokenmasking-paper"].preset)
    assert (settings.reads, settings.head, settings.class_attention) == ("token", "concat", "all")
    assert (settings.masking_ratio, settings.registers, settings.pruning, settings.gate_penalty) == (0.5, 1, True, 0.01)
    assert (settings.maps, settings.map_layers) == ("attention", None)


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


def test_all_heads_count_alike_in_maps_if_asked() -> None:
    images = torch.randn(2, 3, 48, 64)
    method = build("tokenmasking-paper", heads="all").eval()
    with torch.no_grad():
        whole = method(images, ask=Ask(maps=True)).maps_BChw
        for gate in method.vit.gates():
            gate.log_alpha_H.data[0] = 0.0  # half open: it counts half as much in the maps of open heads
        method_open = build("tokenmasking-paper").eval()
        method_open.load_state_dict(method.state_dict())
        alike = method(images, ask=Ask(maps=True))
        gated = method_open(images, ask=Ask(maps=True))
    torch.testing.assert_close(alike.scores_BC, gated.scores_BC)
    assert not torch.allclose(alike.maps_BChw, gated.maps_BChw)
    assert not torch.allclose(alike.maps_BChw, whole)  # the gates still work on the features
    with pytest.raises(SettingsError, match="heads all needs reads=token"):
        build(pruning=True, heads="all", maps="attention")


def test_the_released_form_reads_raw_tokens_through_hard_gates() -> None:
    method = build("tokenmasking-released").eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        features = method.vit(images)
        wanted = features.class_BCD.flatten(1) @ method.head.linear.weight.T + method.head.linear.bias
        torch.testing.assert_close(method(images).scores_BC, wanted)
    log_alpha = torch.stack([gate.log_alpha_H for gate in method.vit.gates()])
    gates = torch.stack([gate() for gate in method.vit.gates()])
    assert torch.equal(gates, (log_alpha > 0).float())
    assert 0 < gates.mean().item() < 1  # about half of the heads start closed
    assert method.open_heads() == [int(row.sum()) for row in gates]


def test_the_two_forms_are_two_recipes() -> None:
    paper = read_settings(None, [], {}, "dfc2020-tokenmasking")
    released = read_settings(None, [], {}, "dfc2020-tokenmasking-released")
    assert (paper.method, released.method) == ("tokenmasking-paper", "tokenmasking-released")
    backbone = released.backbone.model_copy(update={"depth": 3})
    method, _ = build_method(released.method, numbered(8), backbone, released.method_settings, released.weights)
    assert isinstance(method, TokenMasking)
    assert {module.eps for module in method.modules() if isinstance(module, nn.LayerNorm)} == {1e-5}
    assert all(attention.heads == 16 and attention.qkv.bias is None for attention in method.vit.attentions)
    own, _ = build_method(paper.method, numbered(8), TINY, paper.method_settings, "none")
    assert own.settings.final_norm
    assert {module.eps for module in own.modules() if isinstance(module, nn.LayerNorm)} == {1e-6}
