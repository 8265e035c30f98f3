"""Other sizes, as torch has them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tag2mask.data.resizing import fitted_size, resize_array, resize_bilinear, scaled_size, short_side
from tag2mask.data.transforms import eval_resize

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(90, 61), (33, 200), (17, 12), (32, 32)])
def test_images_are_as_torch_makes_them(shape: tuple[int, int]) -> None:
    image = GENERATOR.random((4, *shape), np.float32)
    wanted, size = eval_resize(torch.from_numpy(image), 32, 1, [0.0] * 4, [1.0] * 4)
    assert size == fitted_size(*shape, 32)
    found = resize_array(image, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)  # torch counts columns in float32


@pytest.mark.parametrize("size", [(7, 5), (31, 5), (7, 40), (3, 2), (1, 1), (50, 60)])
def test_maps_are_as_torch_makes_them(size: tuple[int, int]) -> None:
    maps = GENERATOR.normal(size=(2, 3, 7, 5)).astype(np.float32)
    wanted = F.interpolate(torch.from_numpy(maps), size, mode="bilinear", align_corners=False)
    found = resize_bilinear(maps, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("size", "patch", "own"), [((375, 500), 16, 368), ((500, 376), 16, 384), ((5, 300), 16, 16), ((41, 90), 8, 40)]
)
def test_an_images_own_short_side_is_a_whole_number_of_patches(size: tuple[int, int], patch: int, own: int) -> None:
    assert short_side("own", *size, patch) == own
    assert short_side(224, *size, patch) == 224


@pytest.mark.parametrize(
    ("size", "short", "scale", "wanted"),
    [
        # The long side is 320 x 1.2 = 384, not 320 / 213 x 256 = 384.6.
        ((213, 320), 213, 1.2, (256, 384)),
        ((320, 213), 213, 1.2, (384, 256)),
        ((375, 500), 375, 0.75, (281, 375)),
        ((375, 500), 448, 1.0, (448, 597)),
        ((1, 500), 1, 0.01, (1, 5)),
    ],
)
def test_each_side_is_rounded_once(size: tuple[int, int], short: int, scale: float, wanted: tuple[int, int]) -> None:
    assert scaled_size(*size, short, scale) == wanted
