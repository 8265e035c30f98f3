"""The released codes' random walk: the transition matrix is squared again and again, then applied once."""

from __future__ import annotations

from torch import Tensor


def walk_by_squaring(scores_SM: Tensor, transition_MM: Tensor, squarings: int) -> Tensor:
    """Scores times T^(2^squarings)."""
    for _ in range(squarings):
        transition_MM = transition_MM @ transition_MM
    return scores_SM @ transition_MM
