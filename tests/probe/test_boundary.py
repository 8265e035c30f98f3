"""Where the classes of a probe end: the normalised cut of neighbouring patches."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tag2mask.probe.boundary import THRESHOLDS, best_threshold, narrow_classes, neighbours
from tag2mask.probe.linear import LinearProbe
from tag2mask.probe.patches import beside, draw_pairs

SIDE = 64


def boats() -> tuple[Tensor, Tensor, Tensor]:
    """Features and place of the patches of an image: land above, water below, and a boat on the water.

    The first two features tell what a patch looks like, the third what the class maps say: everything on the water.
    """
    place_hw = torch.zeros(SIDE, SIDE, dtype=torch.long)
    place_hw[SIDE // 2 :] = 2
    place_hw[40:56, 20:50] = 1
    noise = 0.3 * torch.randn(SIDE * SIDE, 3, generator=torch.Generator().manual_seed(0))
    looks_SD = torch.tensor([[-6.0, -6.0, -9.0], [6.0, -6.0, 9.0], [-6.0, 6.0, 4.0]])
    return looks_SD[place_hw.flatten()] + noise, place_hw.flatten(), beside(torch.ones_like(place_hw).bool())


def narrowed(beside_N2: Tensor, features_ND: Tensor, allowed: tuple[bool, ...] = (True, True)) -> LinearProbe:
    probe = LinearProbe(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), torch.zeros(2))
    image_N = torch.zeros(len(features_ND), dtype=torch.long)
    return narrow_classes(probe, features_ND.half(), image_N, torch.tensor([allowed]), beside_N2, 0.8)


def test_a_class_loses_what_surrounds_it() -> None:
    features_ND, place_N, beside_N2 = boats()
    probe = narrowed(beside_N2, features_ND)
    boat_N = probe.within(features_ND, torch.tensor([True, True])).argmax(1) == 1
    assert (boat_N == (place_N == 1)).float().mean() > 0.99  # without it, the water is boat
    assert probe.lead_S is not None
    assert 4.0 < probe.lead_S[1] < 9.0


@pytest.mark.parametrize(
    "reason",
    ["nothing is a neighbour", "no tag allows the class", "few patches", "all are neighbours", "all are boats"],
)
def test_otherwise_nothing_changes(reason: str) -> None:
    features_ND, _, beside_N2 = boats()
    if reason == "no tag allows the class":
        probe = narrowed(beside_N2, features_ND, (True, False))
    elif reason == "few patches":
        probe = narrowed(beside(torch.ones(1, 900).bool()), features_ND[-900:])
    elif reason == "all are neighbours":  # of the same patch, so every threshold cuts
        rows_N = torch.arange(len(features_ND), dtype=torch.int32)
        probe = narrowed(torch.stack([rows_N.max() - rows_N, 0 * rows_N], 1), features_ND)
    elif reason == "all are boats":
        probe = narrowed(beside_N2, features_ND.clone().fill_(3.0) + 0.1 * features_ND.sign())
    else:
        probe = narrowed(torch.zeros_like(beside_N2), features_ND)
    assert probe.bias_S.tolist() == [0.0, 0.0]
    assert probe.lead_S is not None
    assert probe.lead_S.tolist() == [0.0, 0.0]


def test_what_a_class_loses_becomes_background_and_no_other_class() -> None:
    rider_horse = LinearProbe(torch.zeros(3, 3).fill_diagonal_(1.0), torch.zeros(3), torch.tensor([0.0, 3.0, 0.0]))
    features_ND = torch.tensor([[0.0, 4.0, 1.5], [0.0, 2.0, 1.5], [0.0, 1.0, 1.5], [0.0, 2.0, 1.5], [1.0, 2.0, 2.5]])
    allowed_NS = torch.tensor([[True, True, True]] * 3 + [[True, False, True], [True, False, False]])
    logits_NS = rider_horse.within(features_ND, allowed_NS)
    assert logits_NS.argmax(1).tolist() == [1, 0, 2, 2, 0]
    assert logits_NS[:, 0].tolist() == [3.0, 3.0, 0.0, 0.0, 1.0]


def test_the_best_threshold_is_that_of_the_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    margin_K = 4 * torch.randn(1500, generator=generator) + 2
    first, second = torch.randint(1500, (2, 4000), generator=generator)
    affinity_M = torch.rand(4000, generator=generator)
    found = best_threshold(margin_K, torch.stack([margin_K[first], margin_K[second]]), affinity_M, 1.0)
    largest = margin_K.sort().values[int(0.98 * 1500)].item()
    ncuts = {}
    for step in range(THRESHOLDS):
        t = largest * step / THRESHOLDS
        above = (margin_K > t).sum().item()
        crossed = (margin_K[first] > t) != (margin_K[second] > t)
        if 1500 - above >= 30:
            ncuts[t] = affinity_M[crossed].sum().item() * (1 / above + 1 / (1500 - above))
    assert found == pytest.approx(min(ncuts, key=ncuts.__getitem__), abs=1e-4)


def test_neighbours_are_to_the_right_and_below() -> None:
    drawn_hw = torch.tensor([[True, True, False], [True, False, True], [True, True, True]])
    rows = drawn_hw.flatten().nonzero().flatten().tolist()  # place of each row
    first_M, second_M = neighbours(beside(drawn_hw)[drawn_hw.flatten()])
    pairs = {(rows[i], rows[j]) for i, j in zip(first_M.tolist(), second_M.tolist(), strict=True)}
    assert pairs == {(0, 1), (0, 3), (3, 6), (5, 8), (6, 7), (7, 8)}


@pytest.mark.parametrize(("height", "width", "kept"), [(8, 9, 20), (1, 40, 7), (40, 1, 7), (3, 3, 9), (1, 1, 4)])
def test_patches_are_drawn_in_pairs(height: int, width: int, kept: int) -> None:
    drawn_hw = draw_pairs(height, width, kept, torch.Generator().manual_seed(0))
    assert 0 < drawn_hw.sum() <= kept
    if kept >= height * width:
        assert drawn_hw.all()
    else:
        drawn_N = drawn_hw.flatten().int()
        pairs = drawn_N[:-1] * drawn_N[1:]
        in_pair_N = F.pad(pairs, (0, 1)) + F.pad(pairs, (1, 0)) > 0
        assert torch.equal(in_pair_N, drawn_hw.flatten())
        assert pairs.sum() >= 1
