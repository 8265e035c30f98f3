"""Losses on soft labels and between neighbours, against loops."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tag2mask.segmentation.clipping import clipped_loss, thresholds
from tag2mask.segmentation.losses import collision, pair_count, potts

B, K, P, Y, X = 2, 5, 3, 4, 6
VALUES = torch.tensor([[0, 3, 4], [2, 1, 0]])
LABELLED = torch.ones(B, Y, X, dtype=torch.bool)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def logits() -> Tensor:
    return 3 * torch.randn(B, K, Y, X)


def test_collision_is_the_loop() -> None:
    scores, shares = logits(), torch.randint(0, 256, (B, P, Y, X), dtype=torch.uint8)
    found = collision(scores, shares, VALUES, LABELLED)
    for b in range(B):
        for y in range(Y):
            for x in range(X):
                e = [math.exp(score) for score in scores[b, :, y, x].tolist()]
                share = shares[b, :, y, x].tolist()
                same = sum(
                    s / sum(share) * e[value] / sum(e) for s, value in zip(share, VALUES[b].tolist(), strict=True)
                )
                assert found[b, y, x].item() == pytest.approx(-math.log(same), abs=1e-5)


@pytest.mark.parametrize("one", [1, 255])
def test_certain_labels_lose_the_cross_entropy_exactly(one: int) -> None:
    plane = torch.randint(P, (B, Y, X))
    shares = (one * F.one_hot(plane, P)).movedim(3, 1).to(torch.uint8)
    labels = VALUES.gather(1, plane.flatten(1)).view(B, Y, X)
    labels[0, 0, 0] = 255
    soft = logits().requires_grad_()
    hard = soft.detach().clone().requires_grad_()
    energy = collision(soft, shares, VALUES, labels != 255)
    wanted = F.cross_entropy(hard, labels, ignore_index=255, reduction="none")
    assert torch.equal(energy, wanted)
    for one_energy in (energy, wanted):
        threshold = thresholds(one_energy, labels != 255, tau=9.0, tile=2)
        clipped_loss(one_energy, labels != 255, threshold, (labels != 255).sum()).loss.backward()
    torch.testing.assert_close(soft.grad, hard.grad, atol=1e-8, rtol=1e-6)


def test_without_labels_nothing_is_lost_and_nothing_is_not_a_number() -> None:
    scores, shares = logits().requires_grad_(), torch.zeros(B, P, Y, X, dtype=torch.uint8)
    shares[1, 2] = 255
    labelled = LABELLED.clone()
    labelled[0] = False
    energy = collision(scores, shares, VALUES, labelled)
    energy.sum().backward()
    assert (energy[0] == 0).all()
    assert (scores.grad[0] == 0).all()
    assert scores.grad.isfinite().all()
    assert scores.grad[1].abs().sum() > 0


def test_extreme_logits_stay_finite() -> None:
    scores = torch.zeros(B, K, Y, X)
    scores[:, 1] = 1e4
    shares = torch.zeros(B, P, Y, X, dtype=torch.uint8)
    shares[:, 0], shares[:, 2] = 1, 254
    energy = collision(scores.requires_grad_(), shares, torch.tensor([[0, 3, 4]] * B), LABELLED)
    energy.sum().backward()
    assert energy.isfinite().all()
    assert scores.grad.isfinite().all()


def potts_by_loop(scores: Tensor, images: Tensor, sizes: list[tuple[int, int]]) -> float:
    """Pair by pair."""
    lost, count = 0.0, 0
    p = scores.softmax(1)
    for b, (high, wide) in enumerate(sizes):
        pairs = [((y, x), (y + 1, x)) for y in range(high - 1) for x in range(wide)]
        pairs += [((y, x), (y, x + 1)) for y in range(high) for x in range(wide - 1)]
        squares = [((images[b, :, i[0], i[1]] - images[b, :, j[0], j[1]]) ** 2).sum().item() for i, j in pairs]
        variance = sum(squares) / max(len(squares), 1)
        for (i, j), square in zip(pairs, squares, strict=True):
            same = (p[b, :, i[0], i[1]] * p[b, :, j[0], j[1]]).sum().item()
            lost += math.exp(-square / (2 * variance)) * (1 - same)
        count += len(pairs)
    return lost / count


@pytest.mark.parametrize("sizes", [[(Y, X), (Y, X)], [(Y, X), (2, 5)], [(3, 1), (1, 1)]])
def test_potts_is_the_loop_and_sees_no_padding(sizes: list[tuple[int, int]]) -> None:
    scores, images, size = logits(), torch.rand(B, 3, Y, X), torch.tensor(sizes)
    found = potts(scores, images, size)
    assert found.item() == pytest.approx(potts_by_loop(scores, images, sizes), abs=1e-5)
    for b, (high, wide) in enumerate(sizes):
        scores[b, :, high:], images[b, :, high:] = 7 * torch.randn(K, 1, 1), 5.0
        scores[b, :, :, wide:], images[b, :, :, wide:] = 7 * torch.randn(K, 1, 1), 5.0
    torch.testing.assert_close(potts(scores, images, size), found)


def test_predictions_that_are_all_sure_of_one_class_lose_nothing() -> None:
    sure = torch.zeros(B, K, Y, X)
    sure[:, 2] = 200.0
    size = torch.tensor([[Y, X]] * B)
    assert potts(sure, torch.rand(B, 3, Y, X), size) == 0
    assert potts(torch.zeros(B, K, Y, X), torch.zeros(B, 3, Y, X), size).item() == pytest.approx(1 - 1 / K)


def test_an_edge_is_cheaper_where_colours_change() -> None:
    sure, images = torch.zeros(1, 2, Y, X), torch.zeros(1, 3, Y, X)
    sure[:, 1, :, :3], sure[:, 0, :, 3:] = 200.0, 200.0
    size = torch.tensor([[Y, X]])
    plain = potts(sure, images, size)
    images[..., 3:] = 1.0
    along = potts(sure, images, size)
    images[..., 3:], images[..., 5:] = 0.0, 1.0
    assert along < potts(sure, images, size) < plain * 1.001
    assert plain.item() == pytest.approx(Y / pair_count(size).item())


def test_one_pixel_has_no_neighbour() -> None:
    scores = torch.zeros(1, 2, 1, 1, requires_grad=True)
    loss = potts(scores, torch.zeros(1, 3, 1, 1), torch.tensor([[1, 1]]))
    loss.backward()
    assert (loss.item(), scores.grad.abs().sum().item()) == (0, 0)
