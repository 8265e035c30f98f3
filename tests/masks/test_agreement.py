"""Agreement of two views, against painting both at every threshold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from tag2mask.masks.agreement import BINS, Agreement


def heights(generator: np.random.Generator) -> np.ndarray:
    return (generator.integers(0, BINS, (30, 40)) + 0.5) / BINS


def test_kappa_is_what_painting_both_views_gives() -> None:
    generator, agreement = np.random.default_rng(0), Agreement()
    first = heights(generator)
    second = np.where(generator.random(first.shape) < 0.6, first, heights(generator))
    agreement.add(first[:10], second[:10])
    agreement.add(first[10:], second[10:])
    kappa = agreement.kappa()
    for t in (1, 250, 500, 900):
        wanted = cohen_kappa_score((first >= t / BINS).ravel(), (second >= t / BINS).ravel())
        assert kappa[t] == pytest.approx(wanted)
    assert kappa[0] == pytest.approx(0)  # all of it class: nothing is said


def test_the_cut_between_an_object_and_noise_that_differs_is_found() -> None:
    generator, agreement = np.random.default_rng(1), Agreement()
    thing = np.zeros((60, 60), bool)
    thing[15:45, 20:50] = True
    views = [
        np.where(thing, generator.uniform(0.5, 1, thing.shape), generator.uniform(0, 0.4, thing.shape)) for _ in "12"
    ]
    agreement.add(*views)
    assert 0.39 < agreement.best() <= 0.51
    assert agreement.kappa().max() > 0.99
