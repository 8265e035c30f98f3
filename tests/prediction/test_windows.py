"""Sliding windows, scales and flips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tag2mask.data.resizing import resized
from tag2mask.masks.tiles import flush_starts
from tag2mask.prediction.settings import PredictSettings
from tag2mask.prediction.windows import Eye, Floats, by_windows, most_probable, probabilities, softmax

FIRST = PredictSettings()
GENERATOR = np.random.default_rng(0)
MIX = GENERATOR.normal(size=(4, 3)).astype(np.float32)


class Pointwise:
    """Logits of a pixel from that pixel alone, so that windows cannot matter."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, images: Floats) -> Floats:
        self.seen.append(images.shape)
        return np.einsum("kc,bcyx->bkyx", MIX, images)


def noise(*shape: int) -> Floats:
    return GENERATOR.random(shape, np.float32)


@pytest.mark.parametrize("size", [(32, 32), (33, 71), (20, 50)])
def test_windows_cover_every_pixel_and_average(size: tuple[int, int]) -> None:
    network, images = Pointwise(), noise(2, 3, *size)
    found = by_windows(Eye(network, 32, 32, 8), images, FIRST)
    np.testing.assert_allclose(found, Pointwise()(images), atol=1e-5)
    assert all(shape[2] == min(32, size[0]) and shape[3] == min(32, size[1]) for shape in network.seen)


@pytest.mark.parametrize(
    ("length", "starts"),
    [(480, [0]), (481, [0, 1]), (600, [0, 120]), (800, [0, 320]), (1000, [0, 320, 520]), (1121, [0, 320, 640, 641])],
)
def test_flush_windows_keep_their_stride_but_the_last(length: int, starts: list[int]) -> None:
    assert flush_starts(length, 480, 1 / 3) == starts


def test_flush_windows_cover_every_pixel_and_average() -> None:
    network, images = Pointwise(), noise(1, 3, 32, 70)
    found = by_windows(Eye(network, 32, 32, 8), images, PredictSettings(windows="flush"))
    np.testing.assert_allclose(found, Pointwise()(images), atol=1e-5)
    assert len(network.seen) == 1
    assert network.seen[0] == (3, 3, 32, 32)  # from 0, 22 and 38


def test_as_many_windows_at_once_as_fit() -> None:
    network = Pointwise()
    by_windows(Eye(network, 32, 32, 8), noise(3, 3, 32, 74), PredictSettings(max_patches=70))
    assert [shape[0] for shape in network.seen] == [4, 4, 1]  # 16 patches a window, 9 windows


def test_scales_and_flips_are_a_mean_of_softmaxes() -> None:
    network, image = Pointwise(), noise(3, 40, 56)
    settings = PredictSettings(scales=(1.0, 0.5), flip=True)
    found = probabilities(Eye(network, 40, 32, 8), [image, image], settings)
    assert found.shape == (2, 4, 40, 56)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    wanted = []
    for size in ((40, 56), (20, 28)):
        logits = torch.from_numpy(network(resized(image, size)[None]))
        for mirrored in (False, True):
            turned = logits.flip(-1) if mirrored else logits
            wanted.append(F.interpolate(turned, (40, 56), mode="bilinear").softmax(1))
    wanted[1], wanted[3] = wanted[1].flip(-1), wanted[3].flip(-1)
    np.testing.assert_allclose(found[0], torch.stack(wanted).mean(0)[0], atol=1e-5)


def test_own_is_the_images_own_size() -> None:
    network = Pointwise()
    assert probabilities(Eye(network, 16, 64, 8), [noise(3, 42, 50)], PredictSettings(side="own")).shape[2:] == (40, 48)
    assert network.seen == [(1, 3, 40, 48)]


def test_softmax_is_torchs() -> None:
    logits = 100 * noise(2, 5, 3, 4)
    np.testing.assert_allclose(softmax(logits), torch.from_numpy(logits).softmax(1), atol=1e-6)


@pytest.mark.parametrize("size", [(31, 29), (9, 60), (13, 17)])
def test_labels_of_another_size_are_the_arg_max_of_the_resized_probabilities(size: tuple[int, int]) -> None:
    shares = softmax(noise(1, 5, 13, 17))
    wanted = F.interpolate(torch.from_numpy(shares), size, mode="bilinear")[0].argmax(0)
    assert np.array_equal(most_probable(shares[0], size), wanted.numpy())
