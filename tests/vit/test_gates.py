"""Closed forms of the hard-concrete gate: reference_methods.md section 8.1."""

from __future__ import annotations

import pytest
import torch

from tag2mask.vit.gates import HardConcrete


def gate_with(log_alpha: list[float]) -> HardConcrete:
    gate = HardConcrete(len(log_alpha))
    gate.log_alpha_H.data = torch.tensor(log_alpha)
    return gate


def test_open_probability_and_evaluation_gate() -> None:
    gate = gate_with([-3.0, -1.0, 0.0, 1.0, 3.0, -2.397895, 2.397895])
    wanted = torch.tensor([0.098972, 0.448015, 0.688112, 0.857087, 0.977932, 0.167063, 0.960426])
    torch.testing.assert_close(gate.open_probability(), wanted, atol=1e-6, rtol=0)
    wanted = torch.tensor([0.0, 0.222730, 0.5, 0.777270, 1.0, 0.0, 1.0])
    torch.testing.assert_close(gate.eval()(), wanted, atol=1e-6, rtol=0)


def test_gradient_of_the_open_probability() -> None:
    gate = gate_with([0.0])
    gate.open_probability().sum().backward()
    assert gate.log_alpha_H.grad.item() == pytest.approx(0.214614, abs=1e-6)


def test_training_gate_at_given_draws() -> None:
    gate = gate_with([0.0] * 6)
    drawn = torch.tensor([0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
    torch.testing.assert_close(gate.gate_at(drawn), torch.tensor([0.0, 0.0, 0.0, 0.5, 1.0, 1.0]), atol=1e-5, rtol=0)


def test_share_of_open_gates_is_the_penalised_probability() -> None:
    torch.manual_seed(0)
    share_open = (gate_with([0.0] * 200_000)() > 0).float().mean().item()
    assert share_open == pytest.approx(0.6881, abs=0.004)


@pytest.mark.parametrize(("heads", "penalty"), [(12, 0.990881), (16, 1.321174)])
def test_penalty_of_twelve_layers(heads: int, penalty: float) -> None:
    assert 0.01 * 12 * gate_with([0.0] * heads).open_probability().sum().item() == pytest.approx(penalty, abs=1e-5)


def test_penalty_of_mixed_gates() -> None:
    gate = gate_with([-1.0, 0.0, 1e-4, 2.0])
    assert 0.01 * gate.open_probability().sum().item() == pytest.approx(0.0276646, abs=1e-6)
