"""The order in which to look at masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tag2mask.data import Classes
from tag2mask.masks.paint import background_score, label_shares, normalise, paint
from tag2mask.masks.settings import BackgroundSettings, PaintSettings
from tag2mask.masks.write import open_mask_set
from tag2mask.viewer.judging import shares_of
from tag2mask.viewer.maps import ClassMaps, maps_of_shares, paint_maps, power_cut
from tag2mask.viewer.masks import StoredShares
from tag2mask.viewer.ranking import Signs, agreement, order, painted_probability, soft_minimum


def test_the_soft_minimum_is_between_minimum_and_mean() -> None:
    values = np.random.default_rng(0).random(100)
    assert values.min() < soft_minimum(values) < values.mean()
    assert soft_minimum(values, 1e-4) == pytest.approx(values.min(), abs=1e-6)
    assert soft_minimum(values, 1e6) == pytest.approx(values.mean(), abs=1e-4)
    assert soft_minimum(np.zeros(3)) == 0


def test_agreement_is_the_mean_iou_of_classes_that_occur() -> None:
    one, two = np.array([[0, 0, 5, 5]]), np.array([[0, 0, 0, 5]])
    assert agreement(one, two, 255) == (pytest.approx((2 / 3 + 1 / 2) / 2), 5)
    assert agreement(one, one, 255)[0] == 1
    assert agreement(one, np.full_like(one, 255), 255) == (1.0, None)
    assert agreement(np.array([[1, 255]]), np.array([[1, 3]]), 255)[0] == 1


def test_worse_signs_come_first() -> None:
    good, bad = Signs(sure=0.9, other=0.9, views=0.9), Signs(sure=0.9, other=0.2, views=0.9)
    ranked = order([good, bad, Signs(sure=0.9, other=0.9, views=0.1), Signs()])
    ranks = [one.rank for one in ranked]
    assert ranks[2] > ranks[1] > ranks[0] > ranks[3] == 0
    assert "the other mask differs" in ranked[1].reason
    assert "mirrored" in ranked[2].reason
    assert ranked[3].reason == ""


def test_a_tag_without_pixels_is_said() -> None:
    ranked = order([Signs(sure=0.9, painted=0.5, details={"painted": "cow"}), Signs(sure=0.9, painted=1.0)])
    assert ranked[0].reason == "no pixel of cow"
    assert ranked[0].rank > ranked[1].rank


def test_the_probability_of_the_painted_class() -> None:
    labels = np.array([[0, 1, 255]])
    shares = np.array([[[0.7, 0.4, 0.5]], [[0.3, 0.6, 0.5]]])
    np.testing.assert_allclose(painted_probability(labels, shares, [0, 1]), [0.7, 0.6])


CLASSES = Classes(("cow", "grass", "sky"), "background")


@pytest.mark.parametrize("background", [{"value": 0.3}, {"policy": "none"}])
def test_shares_give_back_the_mask(background: dict[str, object]) -> None:
    """Maps from the shares of a painted image paint it again."""
    settings = PaintSettings.parse({"background": background})
    maps = normalise(np.random.default_rng(0).random((3, 6, 7)).astype(np.float32))
    labels = paint(maps, settings=settings)
    kept = settings.background.policy != "none"
    score = background_score(maps, settings.background)[None] if kept else np.zeros((1, 6, 7), np.float32)
    competing = np.concatenate([score, maps]) if kept else maps
    shares = label_shares(competing, False).astype(np.float32)
    found = maps_of_shares(shares if kept else np.concatenate([score, shares]), [1, 2, 3], True, settings)
    np.testing.assert_array_equal(paint_maps(found, (6, 7), {}, CLASSES), labels)
    if kept:
        assert found.cuts == (0.3,) * 3
        np.testing.assert_allclose(shares_of(found, (6, 7))[1].sum(0), 1, rtol=1e-5)


def test_maps_far_above_the_threshold_keep_their_order() -> None:
    """Rounded to 8 bits, the share of the background says little, but those of the classes are in order."""
    shares = np.array([[[1 / 255]], [[112 / 255]], [[142 / 255]]], np.float32)
    found = maps_of_shares(shares, [1, 2], True, PaintSettings.parse({"background": {"value": 0.1}}))
    assert paint_maps(found, (1, 1), {}, CLASSES).item() == 2


def test_stored_scores_of_a_segmenter_are_probabilities(painted: Path) -> None:
    manifest = json.loads((painted / "manifest.json").read_text())
    for names, probable in (([], False), (["segmenter"], True), (["probe"], True), (["crf"], True)):
        manifest["settings"]["refine"]["names"] = names
        (painted / "manifest.json").write_text(json.dumps(manifest))
        assert (StoredShares(open_mask_set(painted)).paint is None) == probable


def test_probabilities_are_cut_where_the_background_is_as_likely() -> None:
    shares = np.random.default_rng(1).dirichlet(np.ones(4), (5, 5)).transpose(2, 0, 1).astype(np.float32)
    found = maps_of_shares(shares, [1, 2, 3], True, None)
    np.testing.assert_array_equal(paint_maps(found, (5, 5), {}, CLASSES), shares.argmax(0))
    np.testing.assert_allclose(shares_of(found, (5, 5))[1], shares, atol=1e-5)


@pytest.mark.parametrize("power", [0.5, 1.0, 4.0])
def test_the_cut_of_a_power(power: float) -> None:
    maps = np.linspace(0, 1, 101, dtype=np.float32)[None, None]
    score = background_score(maps, BackgroundSettings(policy="power", value=power))
    np.testing.assert_array_equal(maps[0] > score, maps[0] > power_cut(power))


def test_no_class_paints_background() -> None:
    nothing = ClassMaps((), np.zeros((0, 2, 2), np.float32), (), "none", False)
    assert (paint_maps(nothing, (4, 4), {}, CLASSES) == 0).all()
    assert (paint_maps(nothing, (4, 4), {}, Classes(("cow",))) == 255).all()
