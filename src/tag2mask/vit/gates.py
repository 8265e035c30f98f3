"""Hard-concrete gates on attention heads (Louizos et al., "Learning sparse neural networks through L0 regularization").

Shapes: H heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

GAMMA, ZETA = -0.1, 1.1  # the interval to which the concrete variable is stretched
BETA = 0.33  # temperature
EPS = 1e-6
OPEN_AT_START = 2.3  # log alpha: P(open) = 0.957, evaluation gate 0.99


class HardConcrete(nn.Module):
    """One gate in [0, 1] for each of ``heads`` heads, resampled in every training pass, fixed in evaluation."""

    def __init__(self, heads: int, log_alpha: float | None = OPEN_AT_START) -> None:
        """Set the initial ``log_alpha``; None draws it by Xavier's rule for (1, H, 1, 1): within sqrt(6 / (H + 1))."""
        super().__init__()
        self.log_alpha_H = nn.Parameter(torch.full((heads,), log_alpha or 0.0))
        if log_alpha is None:
            bound = math.sqrt(6 / (heads + 1))
            nn.init.uniform_(self.log_alpha_H, -bound, bound)

    def forward(self) -> Tensor:
        """Gates ``(H,)``: g = clip(s (zeta - gamma) + gamma, 0, 1), s = sigmoid((logit u + log alpha) / beta)."""
        if not self.training:
            return self.evaluation_gate()
        u_H = torch.rand_like(self.log_alpha_H).clamp(EPS, 1 - EPS)
        return self.gate_at(u_H)

    def gate_at(self, u_H: Tensor) -> Tensor:
        """Training gates for given uniform draws."""
        s_H = torch.sigmoid((torch.logit(u_H) + self.log_alpha_H) / BETA)
        return stretch(s_H)

    def evaluation_gate(self) -> Tensor:
        """Gates without noise or temperature: 0 for log alpha <= -2.398, 1 for log alpha >= 2.398."""
        return stretch(torch.sigmoid(self.log_alpha_H))

    def open_probability(self) -> Tensor:
        """P(gate > 0), ``(H,)``, clamped to [eps, 1 - eps]: the penalty of L0 regularisation."""
        p_H = torch.sigmoid(self.log_alpha_H - BETA * math.log(-GAMMA / ZETA))
        return p_H.clamp(EPS, 1 - EPS)


class StraightThrough(HardConcrete):
    """Gates that are 0 or 1: open where the soft gate is above 0.5, with the soft gate's gradient.

    P(open) in training is sigmoid(log alpha), which is less than the penalty assumes; in evaluation a gate is open for
    log alpha > 0.
    """

    def gate_at(self, u_H: Tensor) -> Tensor:
        """Training gates for given uniform draws."""
        return harden(super().gate_at(u_H))

    def evaluation_gate(self) -> Tensor:
        """Gates without noise."""
        return harden(super().evaluation_gate())


class FixedGates(nn.Module):
    """Values of the remaining gates after pruning, no longer trained."""

    gate_H: Tensor

    def __init__(self, gate_H: Tensor) -> None:
        super().__init__()
        self.register_buffer("gate_H", gate_H)

    def forward(self) -> Tensor:
        """The gates ``(H,)``."""
        return self.gate_H

    def evaluation_gate(self) -> Tensor:
        """The gates ``(H,)``."""
        return self.gate_H


def harden(soft_H: Tensor) -> Tensor:
    """1 where a gate is above 0.5, otherwise 0, with the soft gate's gradient."""
    return (soft_H > 0.5).to(soft_H.dtype) + (soft_H - soft_H.detach())


def stretch(s: Tensor) -> Tensor:
    """Stretch (0, 1) to (gamma, zeta) and clip to [0, 1]."""
    return (s * (ZETA - GAMMA) + GAMMA).clamp(0, 1)
