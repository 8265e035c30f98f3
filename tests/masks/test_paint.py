"""Closed forms of reference_methods.md sections 8.4 and 8.7."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tag2mask.errors import SettingsError
from tag2mask.masks.paint import (
    BARE,
    background_score,
    cut_value,
    fill_nearest,
    most_probable,
    normalise,
    otsu,
    paint,
    paint_ordered,
)
from tag2mask.masks.settings import BackgroundSettings, MaskSettings, PaintSettings
from tag2mask.refine.spreading import spread_by_affinity


def test_normalise() -> None:
    assert normalise(np.array([[0.0, 1], [2, 4]])) == pytest.approx(np.array([[0, 0.25], [0.5, 1]]), abs=1e-7)
    assert (normalise(np.full((2, 2), 3.0)) == 0).all()
    refined = normalise(np.array([[0.57, 0.39], [0.425, 0.1]]))
    assert refined == pytest.approx(np.array([[1, 0.617021], [0.691489, 0]]), abs=1e-6)


def test_affinity_rows_weigh_the_sources() -> None:
    affinity = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.5, 0.2, 0.2], [0.25] * 4, [0, 0, 0.5, 0.5]])
    refined = spread_by_affinity(torch.tensor([[[[1, 0.5], [0, 0.2]]]]), affinity[None])
    torch.testing.assert_close(refined, torch.tensor([[[[0.57, 0.39], [0.425, 0.1]]]]))


def test_ordered_painting_vectors() -> None:
    maps = np.array([[[0.9, 0.1], [0.6, 0.4]], [[0.2, 0.8], [0.3, 0.7]]])
    for logits in ([2.0, 1.0], [2.0, 3.0]):
        assert paint_ordered(maps, [0, 1], logits, ["mean", "mean"]).tolist() == [[0, 1], [0, 1]]


def test_the_highest_logit_wins_and_the_rest_stays_bare() -> None:
    maps = np.array([[[0.9, 0.1], [0.8, 0.2]], [[0.9, 0.8], [0.1, 0.2]]])
    assert paint_ordered(maps, [0, 1], [1.0, 2.0], ["mean", "mean"]).tolist() == [[1, 1], [0, BARE]]
    assert paint_ordered(maps, [0, 1], [2.0, 1.0], ["mean", "mean"]).tolist() == [[0, 1], [0, BARE]]


def test_a_map_without_mass_is_skipped() -> None:
    assert (paint_ordered(np.zeros((1, 2, 2)), [3], [1.0], ["mean"]) == BARE).all()


def test_fill_nearest() -> None:
    filled = fill_nearest(np.array([[2, -1, -1, -1, 5]]))[0].tolist()
    assert filled in ([2, 2, 2, 5, 5], [2, 2, 5, 5, 5])  # the middle is as near to either end
    corner = np.full((3, 3), -1)
    corner[0, 0], corner[2, 2] = 3, 7
    filled = fill_nearest(corner)
    assert (filled[0, 1], filled[1, 0], filled[1, 2], filled[2, 1]) == (3, 3, 7, 7)
    assert (fill_nearest(np.full((2, 2), -1)) == -1).all()


def test_otsu_parts_two_levels() -> None:
    levels = np.concatenate([np.full(70, 0.1), np.full(30, 0.8)]).reshape(10, 10)
    assert 0.1 < otsu(levels) < 0.8
    assert cut_value(levels, "otsu") == otsu(levels)
    assert cut_value(levels, 0.3) == 0.3


MAPS = np.array([[[0.0, 0.2], [0.6, 1.0]]])


@pytest.mark.parametrize(
    ("background", "wanted"),
    [
        ({"policy": "none"}, [[4, 4], [4, 4]]),
        ({"policy": "threshold", "value": 0.4}, [[0, 0], [4, 4]]),
        ({"policy": "threshold", "value": "mean"}, [[0, 0], [4, 4]]),
        ({"policy": "threshold", "value": "otsu"}, [[0, 0], [4, 4]]),
        ({"policy": "power", "value": 1.0}, [[0, 0], [4, 4]]),
        ({"policy": "power", "value": 4.0}, [[0, 0], [4, 4]]),
        ({"policy": "power", "value": 12.0}, [[0, 4], [4, 4]]),
    ],
)
def test_background_policies(background: dict[str, object], wanted: list[list[int]]) -> None:
    settings = PaintSettings(background=BackgroundSettings.parse(background))
    assert paint(MAPS, [4], [1.0], True, settings).tolist() == wanted
    assert (paint(MAPS, [4], [1.0], False, settings) == 4).all()


@pytest.mark.parametrize(
    "wrong", [{"value": 0}, {"value": -0.5}, {"policy": "power", "value": "mean"}, {"value": "median"}]
)
def test_backgrounds_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="background"):
        MaskSettings.parse({"background": wrong})


def test_power_vectors() -> None:
    """(1 - max)^alpha: max .7 gives .3 and 5.314e-7 for alpha 1 and 12; max .2 gives .8 and .068719."""
    maps = np.array([[[0.7, 0.1]], [[0.4, 0.2]]])
    for alpha, wanted in ((1.0, [[0.3, 0.8]]), (12.0, [[5.314e-7, 0.068719]])):
        scores = background_score(maps, BackgroundSettings(policy="power", value=alpha))
        np.testing.assert_allclose(scores, wanted, rtol=1e-3)


def test_no_class_leaves_background_or_bare_pixels() -> None:
    none = np.zeros((0, 2, 3))
    assert (paint(none, [], [], True, PaintSettings()) == 0).all()
    assert (paint(none, [], [], False, PaintSettings()) == BARE).all()


@pytest.mark.parametrize("size", [(31, 29), (9, 60), (13, 17)])
def test_labels_of_another_size_are_the_arg_max_of_the_resized_probabilities(size: tuple[int, int]) -> None:
    shares = torch.rand(1, 5, 13, 17, generator=torch.Generator().manual_seed(0)).softmax(1).numpy()
    wanted = F.interpolate(torch.from_numpy(shares), size, mode="bilinear")[0].argmax(0)
    assert np.array_equal(most_probable(shares[0], size), wanted.numpy())


def test_arrays_and_tensors_are_painted_like_lists() -> None:
    maps = np.array([[[0.0, 0.2, 1.0]], [[0.0, 0.9, 0.8]]])
    settings = PaintSettings(rule="ordered", threshold=0.5)
    wanted = paint(maps, [3, 5], [1.0, 2.0], settings=settings)
    assert wanted.tolist() == [[0, 5, 5]]
    for values, logits in ((np.array([3, 5]), np.array([1.0, 2.0])), (torch.tensor([3, 5]), torch.tensor([1.0, 2.0]))):
        np.testing.assert_array_equal(paint(torch.tensor(maps), values, logits, settings=settings), wanted)


def test_a_threshold_that_would_do_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"threshold applies to the rule ordered alone; set background\.value"):
        PaintSettings.parse({"threshold": 0.3})
    assert PaintSettings.parse({"threshold": 0.3, "background": {"value": 0.3}}).threshold == 0.3
