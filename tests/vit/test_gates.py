"""Closed forms of the hard-concrete gate: reference_methods.md section 8.1."""

from __future__ import annotations

import math

import pytest
import torch

from tag2mask.vit.gates import HardConcrete, StraightThrough


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


def hard_with(log_alpha: list[float]) -> StraightThrough:
    gate = StraightThrough(len(log_alpha))
    gate.log_alpha_H.data = torch.tensor(log_alpha)
    return gate


def test_hard_gates_are_open_above_a_half_with_the_soft_gates_gradient() -> None:
    drawn = torch.tensor([0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
    soft, hard = gate_with([0.0] * 6), hard_with([0.0] * 6)
    weights = torch.arange(1.0, 7.0)
    value = hard.gate_at(drawn)
    assert torch.equal(value, torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 1.0]))  # soft: 0, 0, 0, 0.5, 1, 1
    (value * weights).sum().backward()
    (soft.gate_at(drawn) * weights).sum().backward()
    assert soft.log_alpha_H.grad.abs().sum() > 0
    assert torch.equal(hard.log_alpha_H.grad, soft.log_alpha_H.grad)


def test_hard_gates_in_evaluation_are_open_for_a_log_alpha_above_0() -> None:
    gate = hard_with([-3.0, -1.0, 0.0, 1e-4, 1.0, 3.0]).eval()
    assert torch.equal(gate(), torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]))


def test_half_of_the_hard_gates_are_open_while_the_penalty_counts_more() -> None:
    torch.manual_seed(0)
    gate = hard_with([0.0] * 200_000)
    assert gate().mean().item() == pytest.approx(0.5, abs=0.004)  # section 8.1: 0.5019, and 0.688 penalised
    assert gate.open_probability().mean().item() == pytest.approx(0.688112, abs=1e-5)


@pytest.mark.parametrize(("heads", "bound"), [(16, 0.594), (12, 0.679)])
def test_xaviers_start(heads: int, bound: float) -> None:
    torch.manual_seed(0)
    drawn = torch.cat([HardConcrete(heads, None).log_alpha_H.detach() for _ in range(500)])
    assert drawn.abs().max().item() == pytest.approx(bound, abs=2e-3)
    assert (drawn > 0).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert drawn.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
