"""What is asked of the whole way: settings by stage, and what ``--quick`` makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tag2mask.errors import SettingsError
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.training.settings import TrainSettings, epochs_for, with_epochs
from tag2mask.workflows.plan import Plan
from tag2mask.workflows.settings import WholeSettings


@pytest.mark.parametrize(("assignments", "scores"), [([], False), (["segment.target=soft"], True)])
def test_a_soft_target_asks_masks_for_scores(tmp_path: Path, assignments: list[str], scores: bool) -> None:
    given = WholeSettings.read({}, assignments)
    assert Plan(tmp_path, tmp_path, given, quick=True).settings(354).masks.scores == scores


@pytest.mark.parametrize(
    ("given", "names"),
    [({"train": {"weights": "none"}}, ("crf",)), ({}, None), ({"masks": {"refine": "pamr"}}, ("pamr",))],
)
def test_masks_choose_their_refiners_unless_the_network_has_no_probe(
    tmp_path: Path, given: dict[str, Any], names: tuple[str, ...] | None
) -> None:
    plan = Plan(tmp_path, tmp_path, WholeSettings.parse(given))
    assert plan.settings(10).masks.refine.names == names


def test_quick_is_few_epochs_and_small_crops_where_nothing_else_was_asked_for(tmp_path: Path) -> None:
    given = WholeSettings.read(
        {"train.method": "linear", "train.weights": "none", "seed": 3}, ["segment.epochs=2", "train.method.x=1"]
    )
    assert given.train.method_settings == {"x": 1}
    assert (given.train.seed, given.segment.seed) == (3, 3)
    quick = Plan(tmp_path, tmp_path, given, quick=True).settings(354)
    assert (quick.train.epochs, quick.train.backbone.image_size, quick.segment.epochs) == (8, 126, 2)
    assert (quick.train.method, quick.predict.overlay) == ("linear", True)
    usual = Plan(tmp_path, tmp_path, given).settings(354)
    assert usual.train.backbone.image_size == 224
    assert [epochs_for(2100, count) for count in (0, 20, 354, 1000, 10**6)] == [50, 50, 6, 2, 1]
    assert [with_epochs(usual.train, count).epochs for count in (1, 100, 440, 10**6)] == [50, 44, 10, 5]
    assert with_epochs(TrainSettings(epochs=3), 100).epochs == 3
    ways = ({}, {"decoder": "mask-transformer"}, {"architecture": "unet"})
    assert [with_epochs(SegmentSettings.parse(given), 100).epochs for given in ways] == [18, 44, 44]
    with pytest.raises(SettingsError, match=r"unknown setting trian\.epochs; did you mean train\.epochs"):
        WholeSettings.read({}, ["trian.epochs=1"])
