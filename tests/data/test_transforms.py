from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision.transforms import v2

from tag2mask.data.resizing import fitted_size
from tag2mask.data.settings import AugmentSettings
from tag2mask.data.transforms import AnyShapeCrop, Hide, eval_resize, train_transform, whole_patches


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (213, 320, (224, 337)),
        (320, 213, (337, 224)),
        (5, 5, (224, 224)),
        (1, 3, (224, 672)),
        (1, 16, (224, 3584)),
        (1, 5000, (1, 3584)),
        (9000, 3, (3584, 1)),
        (30, 500, (215, 3584)),
    ],
)
def test_the_short_side_fits_and_proportions_stay(height: int, width: int, expected: tuple[int, int]) -> None:
    assert fitted_size(height, width, 224) == expected


def test_evaluation_pads_to_whole_patches_by_repeating_the_edge() -> None:
    pixels, size = eval_resize(torch.rand(3, 213, 320), 224, 14, (0.5,) * 3, (0.5,) * 3)
    assert size == (224, 337)
    assert pixels.shape == (3, 224, 350)
    assert torch.equal(pixels[:, :, 336:337].expand(-1, -1, 14), pixels[:, :, 336:])


def test_evaluation_leaves_the_range_of_floats_alone() -> None:
    image = torch.full((2, 8, 8), -20.0)
    image[1, :, 4:] = 3.0
    pixels, _ = eval_resize(image, 16, 8, (0.0,) * 2, (1.0,) * 2)
    assert torch.equal(pixels[0], torch.full((16, 16), -20.0))
    assert (pixels[1].min(), pixels[1].max()) == (-20.0, 3.0)


def test_evaluation_at_the_same_size_only_normalises() -> None:
    image = torch.rand(3, 32, 48)
    pixels, size = eval_resize(image, 32, 16, (0.5,) * 3, (0.25,) * 3)
    assert size == (32, 48)
    torch.testing.assert_close(pixels, (image - 0.5) / 0.25, atol=1e-5, rtol=0)


@pytest.mark.parametrize("bands", [1, 3, 13])
def test_training_crops_of_any_bands(bands: int) -> None:
    transform = train_transform(32, (0.5,) * bands, (0.25,) * bands, AugmentSettings())
    assert transform(torch.rand(bands, 40, 56)).shape == (bands, 32, 32)


@pytest.mark.parametrize("tall", [False, True])
def test_crops_of_an_elongated_image_reach_both_ends_and_show_little_less_than_drawn(tall: bool) -> None:
    image = torch.empty((3, 256, 40) if tall else (3, 40, 256))
    crop = AnyShapeCrop(32, scale=(0.35, 1.0))
    torch.manual_seed(0)
    drawn = [crop.make_params([image]) for _ in range(300)]
    across, along = ("width", "height") if tall else ("height", "width")
    start, other = ("top", "left") if tall else ("left", "top")
    assert {(params[other], params[across]) for params in drawn} == {(0, 40)}
    assert {params[along] for params in drawn} == {80}  # a third of 256 is 85
    starts = [params[start] for params in drawn]
    assert min(starts) < 5
    assert max(starts) > 171
    assert max(starts) <= 256 - 80


def test_small_crops_of_an_elongated_image_keep_their_shape() -> None:
    crop = AnyShapeCrop(32, scale=(0.05, 0.1))
    for params in (crop.make_params([torch.empty(3, 40, 120)]) for _ in range(100)):
        assert 3 / 4 - 0.05 < params["width"] / params["height"] < 4 / 3 + 0.05
        assert 0.04 < params["width"] * params["height"] / 4800 < 0.11
        assert params["top"] + params["height"] <= 40
        assert params["left"] + params["width"] <= 120


def test_crops_of_other_images_are_those_of_torchvision() -> None:
    for shape in ((3, 40, 56), (3, 60, 30)):
        torch.manual_seed(1)
        ours = AnyShapeCrop(32).make_params([torch.empty(shape)])
        torch.manual_seed(1)
        assert ours == v2.RandomResizedCrop(32).make_params([torch.empty(shape)])


@pytest.mark.parametrize("more", [{}, {"randaugment": 2, "erase": 1.0, "interpolation": "bicubic"}])
def test_training_draws_from_torch_alone(more: dict[str, Any]) -> None:
    transform = train_transform(16, (0.5,) * 3, (0.25,) * 3, AugmentSettings.parse(more))
    image = torch.rand(3, 40, 56)
    torch.manual_seed(1)
    first = transform(image)
    torch.manual_seed(1)
    assert torch.equal(first, transform(image))
    assert not torch.equal(first, transform(image))


def test_hiding_covers_whole_cells_by_the_mean() -> None:
    torch.manual_seed(0)
    hide = Hide(0.8)
    seen = torch.stack([hide(torch.ones(2, 32, 48)) for _ in range(300)])
    cells = seen.unfold(2, 4, 4).unfold(3, 6, 6).flatten(4)
    assert torch.equal(cells.amin(-1), cells.amax(-1))
    assert torch.equal(seen[:, 0], seen[:, 1])
    hidden = 1 - seen.flatten(1).mean(1)
    assert hidden.mean().item() == pytest.approx(0.4, abs=0.03)
    assert hidden.max() > 0.7
    assert hidden.min() < 0.1


def test_the_rest_beside_whole_patches_is_filled_up_or_left_out() -> None:
    image = torch.rand(2, 3, 21, 5)
    dropped = whole_patches(image, 8, "drop")
    assert torch.equal(dropped[..., :5], image[..., :16, :])
    assert dropped.shape[-2:] == (16, 8)  # a side below one patch loses nothing
    padded = whole_patches(image, 8)
    assert torch.equal(padded[..., :21, :5], image)
    assert torch.equal(padded[..., 21:, 5:], image[..., -1:, -1:].expand(2, 3, 3, 3))
