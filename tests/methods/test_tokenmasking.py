from __future__ import annotations

import pytest
import torch
from torch import nn

from numbered import numbered
from tag2mask.methods import METHODS, Ask, build_method
from tag2mask.methods.tokenmasking import TokenMasking
from tag2mask.training.settings import TrainSettings
from tag2mask.vit.settings import BackboneSettings

TINY = BackboneSettings(name="vit_tiny_patch16_224", image_size=64, drop_path=0.0)


def build(name: str = "tokenmasking", classes: int = 4, **settings: object) -> TokenMasking:
    torch.manual_seed(0)
    method, _ = build_method(name, numbered(classes), TINY, settings, "none")
    assert isinstance(method, TokenMasking)
    return method


def test_masking_is_for_training_only_and_drawn_anew() -> None:
    method = build(pruning=False)
    images, tags = torch.randn(2, 3, 64, 64), torch.tensor([[1.0, 0, 0, 0], [0, 0, 1.0, 0]])
    with torch.no_grad():
        drawn = [method(images, tags).scores_BC for _ in range(4)]
        assert not torch.equal(drawn[0], drawn[1])
        method.eval()
        assert torch.equal(method(images).scores_BC, method(images, tags).scores_BC)


def test_gate_penalty_is_lambda_times_the_expected_number_of_open_heads() -> None:
    method = build(pruning=True, gate_penalty=0.01)
    for gate in method.vit.gates():
        gate.log_alpha_H.data.zero_()
    assert method.penalty().item() == pytest.approx(0.01 * 12 * 3 * 0.688112, abs=1e-5)
    assert method.open_heads() == [3] * 12
    assert build(pruning=False).open_heads() is None


@pytest.mark.parametrize("final_norm", [True, False])
def test_logits_are_those_of_the_tokens_all_together_or_each_alone(final_norm: bool) -> None:
    images = torch.randn(2, 3, 64, 64)
    concat = build(final_norm=final_norm, pruning=False).eval()
    own = build(final_norm=final_norm, pruning=False, head="per_token").eval()
    own.vit.load_state_dict(concat.vit.state_dict())
    with torch.no_grad():
        class_BCD = concat.vit(images).class_BCD
        if final_norm:
            class_BCD = concat.vit.norm(class_BCD)
        wanted = class_BCD.flatten(1) @ concat.head.linear.weight.T + concat.head.linear.bias
        torch.testing.assert_close(concat(images).scores_BC, wanted)
        wanted = torch.einsum("bcd,cd->bc", class_BCD, own.head.vector_D) + own.head.bias
        torch.testing.assert_close(own(images).scores_BC, wanted)


def test_heads_grow_as_documented() -> None:
    def count(kind: str, classes: int) -> int:
        return sum(parameter.numel() for parameter in build(head=kind, classes=classes).head.parameters())

    assert count("concat", 80) == 80 * 80 * 192 + 80
    assert count("per_token", 80) == 80 * 192 + 80


def test_the_default_is_the_paper() -> None:
    for name in ("tokenmasking", "tokenmasking-paper"):
        settings = METHODS[name].settings_class.parse(METHODS[name].settings)
        assert (settings.head, settings.map_layers, settings.heads, settings.final_norm) == (
            "concat",
            None,
            "open",
            True,
        )
        assert (settings.masking_ratio, settings.registers) == (0.5, 1)
        assert (settings.pruning, settings.gate_penalty, settings.gates) == (True, 0.01, "soft")


def test_all_heads_count_alike_in_maps_if_asked() -> None:
    images = torch.randn(2, 3, 48, 64)
    method = build("tokenmasking", heads="all").eval()
    with torch.no_grad():
        whole = method(images, ask=Ask(maps=True)).maps_BChw
        for gate in method.vit.gates():
            gate.log_alpha_H.data[0] = 0.0  # half open: it counts half as much in the maps of open heads
        method_open = build("tokenmasking").eval()
        method_open.load_state_dict(method.state_dict())
        alike = method(images, ask=Ask(maps=True))
        gated = method_open(images, ask=Ask(maps=True))
    torch.testing.assert_close(alike.scores_BC, gated.scores_BC)
    assert not torch.allclose(alike.maps_BChw, gated.maps_BChw)
    assert not torch.allclose(alike.maps_BChw, whole)  # the gates still work on the features


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
    paper = TrainSettings.read({}, [], "dfc2020-tokenmasking")
    released = TrainSettings.read({}, [], "dfc2020-tokenmasking-released")
    assert (paper.method, released.method) == ("tokenmasking", "tokenmasking-released")
    backbone = released.backbone.model_copy(update={"depth": 3})
    method, _ = build_method(released.method, numbered(8), backbone, released.method_settings, released.weights)
    assert isinstance(method, TokenMasking)
    assert {module.eps for module in method.modules() if isinstance(module, nn.LayerNorm)} == {1e-5}
    assert all(attention.heads == 16 and attention.qkv.bias is None for attention in method.vit.attentions)
    own, _ = build_method(paper.method, numbered(8), TINY, paper.method_settings, "none")
    assert own.settings.final_norm
    assert {module.eps for module in own.modules() if isinstance(module, nn.LayerNorm)} == {1e-6}
