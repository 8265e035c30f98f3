"""Repainting knows the tags: absent classes are forbidden, whatever their logits."""

from __future__ import annotations

import numpy as np
import pytest

from tag2mask.inference.arrays import NumpyArrays
from tag2mask.prediction.repaint import most_probable_of


@pytest.mark.parametrize("allowed", [[0, 2], [1], [0, 1, 2, 3]])
def test_it_is_the_softmax_over_the_allowed_classes(allowed: list[int]) -> None:
    logits_KYX = 5 * np.random.default_rng(0).normal(size=(4, 6, 7)).astype(np.float32)
    wanted = np.asarray(allowed)[logits_KYX[allowed].argmax(0)]
    np.testing.assert_array_equal(
        most_probable_of(NumpyArrays().softmax(logits_KYX[None])[0], allowed, (6, 7), 255), wanted
    )


def test_between_pixels_it_is_the_allowed_softmax_that_is_interpolated() -> None:
    # Left: 0 and 1 are rare beside 2, and 1 is nine times 0. Right: 0 is twice 1.
    shares_KYX = np.array([[[0.001, 0.6]], [[0.009, 0.3]], [[0.99, 0.1]]], np.float32)
    # In the middle the allowed softmax is (0.1 + 2/3) / 2 < 0.5 for 0; shares of all would say 0.
    assert most_probable_of(shares_KYX, [0, 1], (1, 3), 255).tolist() == [[1, 1, 0]]


def test_without_any_class_all_is_ignore() -> None:
    assert (most_probable_of(np.ones((3, 4, 4), np.float32), [], (5, 6), 255) == np.full((5, 6), 255)).all()


def test_classes_that_are_hardly_there_can_be_told_apart() -> None:
    shares_KYX = np.array([[[1e-30]], [[3e-30]], [[1.0]]], np.float32)
    assert most_probable_of(shares_KYX, [0, 1], (1, 1), 255).tolist() == [[1]]
