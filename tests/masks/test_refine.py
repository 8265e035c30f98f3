"""Refiners on maps whose right answer is known."""

from __future__ import annotations

import pytest
import torch

from tag2mask.errors import SettingsError
from tag2mask.masks.refine import PIXEL_REFINERS, require_refiners
from tag2mask.masks.refine.pamr import DILATIONS, neighbour_weights, neighbours, pamr
from tag2mask.masks.settings import MaskSettings

TWO_SIDES = torch.cat([torch.full((3, 24, 10), 0.2), torch.full((3, 24, 14), 0.8)], -1)


def test_neighbours_stand_where_they_should() -> None:
    values = torch.arange(30.0).view(1, 5, 6)
    seen = list(neighbours(values))
    assert len(seen) == 8 * len(DILATIONS)
    assert seen[0][0, 1, 1] == values[0, 0, 0]  # up and left, one step
    assert seen[4][0, 2, 2] == values[0, 2, 3]  # right
    assert seen[0][0, 0, 0] == values[0, 0, 0]  # the border repeats


def test_pamr_weights_are_the_papers_kernel() -> None:
    torch.manual_seed(0)
    image = torch.rand(3, 40, 50)
    stacked = torch.stack(list(neighbours(image)))
    sigma = torch.cat([stacked, image[None]]).std(0)
    kernel = -((stacked - image).abs() / (0.1 * sigma + 1e-8)).mean(1)
    torch.testing.assert_close(neighbour_weights(image), kernel.softmax(0), atol=1e-4, rtol=1e-3)


def test_pamr_fills_a_side_and_stops_at_the_edge() -> None:
    scores = torch.zeros(1, 24, 24)
    scores[0, 8:16, 2:8] = 1.0
    refined = pamr(TWO_SIDES, scores)[0]
    assert refined[:, :9].min() > 0.05  # everywhere, though a score stood on a fifth of it
    assert refined[:, 11:].max() < 1e-3


def test_pamr_keeps_constants_and_takes_batches() -> None:
    torch.manual_seed(0)
    images, scores = torch.rand(2, 3, 30, 20), torch.rand(2, 4, 30, 20)
    torch.testing.assert_close(pamr(images[0], torch.full((1, 30, 20), 0.3)), torch.full((1, 30, 20), 0.3))
    both = pamr(images, scores)
    torch.testing.assert_close(both[1], pamr(images[1], scores[1]))


@pytest.mark.parametrize("name", PIXEL_REFINERS)
@pytest.mark.parametrize("bands", [1, 3, 13])
def test_pixel_refiners_take_any_bands_and_one_pixel(name: str, bands: int) -> None:
    for size in ((17, 31), (1, 1)):
        refined = PIXEL_REFINERS[name](torch.rand(bands, *size), torch.rand(2, *size))
        assert refined.shape == (2, *size)
        assert torch.isfinite(refined).all()


def test_chains() -> None:
    assert MaskSettings(refine="affinity, pamr").refine == ("affinity", "pamr")  # type: ignore[arg-type]
    assert MaskSettings(refine="none").refine == ()  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"refiner 'crff' is unknown"):
        require_refiners(["crff"])
    with pytest.raises(SettingsError, match="has to be first"):
        require_refiners(["pamr", "affinity"])
