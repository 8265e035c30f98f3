"""Gradient clipping against the numbers in the reference notes, section 8.3."""

from __future__ import annotations

import math

import pytest
import torch

from tag2mask.segmentation.clipping import Clipped, counted_pixels, thresholds, tile_means
from tag2mask.segmentation.clipping import clipped_loss as limited_loss
from tag2mask.segmentation.settings import ClippingSettings

G = torch.tensor([[0.1, 0.3, 2, 0.4], [0.2, 0.6, 0.6, 0.35], [0, 0, 0.5, 0.7], [0, 0.36, 0.1, 0.3]])
PAIR = torch.stack([G, torch.full((4, 4), 0.25)])


def all_labelled(energy: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(energy, dtype=torch.bool)


def clipped_loss(energy: torch.Tensor, labelled: torch.Tensor, tau: float, tile: int, tiles: str = "image") -> Clipped:
    """The loss of a whole batch."""
    threshold = thresholds(energy, labelled, tau, tile, tiles)
    return limited_loss(energy, labelled, threshold, counted_pixels(labelled, tiles).sum())


def half_labelled() -> tuple[torch.Tensor, torch.Tensor]:
    """The lower half of the first image has no label and, as cross_entropy leaves it, no loss."""
    energy, labelled = PAIR.clone(), all_labelled(PAIR)
    energy[0, 2:], labelled[0, 2:] = 0, False
    return energy, labelled


@pytest.mark.parametrize("tiles", ["image", "batch"])
def test_one_image(tiles: str) -> None:
    energy = G[None].clone().requires_grad_()
    labelled = all_labelled(energy)
    means = tile_means(energy, labelled, 2, tiles)[0, ::2, ::2]
    torch.testing.assert_close(means, torch.tensor([[0.3, 0.8375], [0.09, 0.4]]))
    clipped = clipped_loss(energy, labelled, tau=1.2, tile=2, tiles=tiles)
    keep = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]])
    assert torch.equal(clipped.kept_BYX[0].int(), keep.int())
    assert clipped.loss.item() == pytest.approx(0.298008, abs=1e-6)
    assert (energy * clipped.kept_BYX).mean().item() == pytest.approx(0.169375, abs=1e-6)
    clipped.loss.backward()
    torch.testing.assert_close(energy.grad[0], keep / 16)  # the same as of the masked mean


def test_two_images_by_the_paper_and_by_the_released_code() -> None:
    labelled = all_labelled(PAIR)
    by_image = clipped_loss(PAIR, labelled, tau=1.2, tile=2, tiles="image")
    by_batch = clipped_loss(PAIR, labelled, tau=1.2, tile=2, tiles="batch")
    means = tile_means(PAIR, labelled, 2, "batch")[0, ::2, ::2]
    torch.testing.assert_close(means, torch.tensor([[0.275, 0.54375], [0.17, 0.325]]))
    own = torch.tensor([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 0, 0], [1, 0, 1, 1]], dtype=torch.bool)
    mixed = torch.tensor([[1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 0, 0], [1, 0, 1, 1]], dtype=torch.bool)
    assert torch.equal(by_image.kept_BYX[0], own)
    assert torch.equal(by_batch.kept_BYX[0], mixed)
    assert by_image.kept_BYX[1].all()
    assert by_batch.kept_BYX[1].all()
    assert by_image.loss.item() == pytest.approx(0.270137, abs=1e-6)
    assert by_batch.loss.item() == pytest.approx(0.254727, abs=1e-6)


def test_above_tau_it_is_the_plain_mean() -> None:
    clipped = clipped_loss(G[None], all_labelled(G[None]), tau=0.39, tile=2)
    assert clipped.loss.item() == pytest.approx(0.406875)
    assert clipped.kept_BYX.all()


@pytest.mark.parametrize("shape", [(10, 10), (7, 13), (3, 2)])
@pytest.mark.parametrize("tiles", ["image", "batch"])
def test_sizes_that_are_no_multiple_of_the_tile(shape: tuple[int, int], tiles: str) -> None:
    energy = torch.rand(2, *shape)
    means = tile_means(energy, all_labelled(energy), 4, tiles)
    assert means.shape == energy.shape
    last = energy[:, shape[0] - 1 - (shape[0] - 1) % 4 :, shape[1] - 1 - (shape[1] - 1) % 4 :]
    wanted = last.mean() if tiles == "batch" else last[0].mean()
    torch.testing.assert_close(means[0, -1, -1], wanted)
    assert clipped_loss(energy, all_labelled(energy), 1.2, 4, tiles).loss <= energy.mean()


def test_pixels_without_a_label_count_nowhere() -> None:
    energy, labelled = half_labelled()
    clipped = clipped_loss(energy, labelled, 1.2, 2)
    assert not clipped.kept_BYX[0, 2:].any()
    means = tile_means(energy, labelled, 2, "image")
    assert means[0, 0, 0].item() == pytest.approx(0.3)
    assert means[1, 2, 0].item() == pytest.approx(0.25)  # the other image's pixels alone
    limit = torch.maximum(means, energy[labelled].mean())
    assert clipped.loss.item() == pytest.approx(torch.minimum(energy, limit)[labelled].mean().item())


def test_the_released_code_counts_padding_as_a_loss_of_0() -> None:
    """By hand: the two images' upper tiles have means (.3, .8375) and .25, the first one's lower half is padding."""
    energy, labelled = half_labelled()
    means = tile_means(energy, labelled, 2, "batch")[0, ::2, ::2]
    torch.testing.assert_close(means, torch.tensor([[0.275, 0.54375], [0.125, 0.125]]))
    overall = (1.2 + 3.35 + 4.0) / 32  # of all pixels, padded ones among them
    limit = means.clamp_min(overall).repeat_interleave(2, 0).repeat_interleave(2, 1)
    clipped = clipped_loss(energy, labelled, 1.2, 2, "batch")
    keep = torch.tensor([[1, 0, 0, 1], [1, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    assert torch.equal(clipped.kept_BYX[0], keep)
    assert clipped.kept_BYX[1].all()
    assert clipped.loss.item() == pytest.approx(torch.minimum(energy, limit).sum().item() / 32)
    plain = clipped_loss(energy, labelled, 0.2, 2, "batch")
    assert plain.loss.item() == pytest.approx(overall)


def test_half_a_batch_of_padding_clips_far_more() -> None:
    torch.manual_seed(0)
    energy = torch.rand(4, 48, 48).exp() - 1
    labelled = all_labelled(energy)
    labelled[:2], energy[:2] = False, 0.0
    shares = [
        1 - clipped_loss(energy, labelled, 1.2, 12, tiles).kept_BYX[labelled].float().mean().item()
        for tiles in ("image", "batch")
    ]
    assert shares[0] < 0.5 < 0.6 < shares[1]


def test_no_label_at_all_is_a_loss_of_0_with_a_gradient_of_0() -> None:
    energy = torch.zeros(1, 4, 4, requires_grad=True)
    clipped = clipped_loss(energy, torch.zeros(1, 4, 4, dtype=torch.bool), 1.2, 2)
    clipped.loss.backward()
    assert (clipped.loss.item(), energy.grad.abs().sum().item()) == (0, 0)


def test_tau_grows_with_what_guessing_costs() -> None:
    assert ClippingSettings().tau_for(21) == pytest.approx(1.2)
    assert ClippingSettings().tau_for(3) == pytest.approx(1.2 * math.log(3) / math.log(21))
    assert ClippingSettings(tau=1.2).tau_for(3) == 1.2
