"""Sliding windows, scales and flips."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tag2mask.data.resizing import resize_array
from tag2mask.inference.arrays import Floats, NumpyArrays
from tag2mask.inference.look import by_windows, mean_probabilities
from tag2mask.inference.method_network import MethodNetwork, evidence_of
from tag2mask.inference.networks import PixelNetwork
from tag2mask.inference.settings import LookSettings
from tag2mask.inference.tiles import flush_starts, starts
from tag2mask.methods import Ask, Evidence
from tag2mask.training.start import as_trained

FIRST = LookSettings()
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
    found = by_windows(PixelNetwork(network, 32, 32, 8), images, FIRST).maps
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
    found = by_windows(PixelNetwork(network, 32, 32, 8), images, LookSettings(windows="flush")).maps
    np.testing.assert_allclose(found, Pointwise()(images), atol=1e-5)
    assert len(network.seen) == 1
    assert network.seen[0] == (3, 3, 32, 32)  # from 0, 22 and 38


def test_as_many_windows_at_once_as_fit() -> None:
    network = Pointwise()
    by_windows(PixelNetwork(network, 32, 32, 8), noise(3, 3, 32, 74), LookSettings(max_patches=70))
    assert [shape[0] for shape in network.seen] == [4, 4, 1]  # 16 patches a window, 9 windows


def test_scales_and_flips_are_a_mean_of_softmaxes() -> None:
    network, image = Pointwise(), noise(3, 40, 56)
    settings = LookSettings(scales=(1.0, 0.5), flip=True)
    found = mean_probabilities(PixelNetwork(network, 40, 32, 8), [image, image], settings)
    assert found.shape == (2, 4, 40, 56)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    wanted = []
    for size in ((40, 56), (20, 28)):
        logits = torch.from_numpy(network(resize_array(image, size)[None]))
        for mirrored in (False, True):
            turned = logits.flip(-1) if mirrored else logits
            wanted.append(F.interpolate(turned, (40, 56), mode="bilinear").softmax(1))
    wanted[1], wanted[3] = wanted[1].flip(-1), wanted[3].flip(-1)
    np.testing.assert_allclose(found[0], torch.stack(wanted).mean(0)[0], atol=1e-5)


def test_own_is_the_images_own_size() -> None:
    network = Pointwise()
    assert mean_probabilities(PixelNetwork(network, 16, 64, 8), [noise(3, 42, 50)], LookSettings(side="own")).shape[
        2:
    ] == (40, 48)
    assert network.seen == [(1, 3, 40, 48)]


def test_softmax_is_torchs() -> None:
    logits = 100 * noise(2, 5, 3, 4)
    np.testing.assert_allclose(NumpyArrays().softmax(logits), torch.from_numpy(logits).softmax(1), atol=1e-6)


def test_tiles_cover_evenly_with_overlap() -> None:
    for length, tile in ((10, 4), (9, 9), (100, 16), (5, 8), (7, 1)):
        begins = starts(length, tile)
        assert begins[0] == 0
        assert begins[-1] == max(length - tile, 0)
        steps = np.diff(begins)
        assert (steps <= max(tile - tile // 4, 1)).all()
        assert (steps > 0).all()


class Brightness(torch.nn.Module):
    """Stands for a method: a patch's map is its mean, whatever else the pass holds."""

    patch = 4

    def __init__(self) -> None:
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, int]] = []

    def forward(self, images: torch.Tensor, ask: object) -> Evidence:
        self.seen.append((images.shape[2], images.shape[3]))
        maps = torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 4)
        return Evidence(scores_BC=maps.amax((2, 3)), logits={}, maps_BChw=maps)


def test_tiles_put_together_are_the_whole() -> None:
    torch.manual_seed(0)
    images, method = torch.rand(2, 3, 64, 100), Brightness()
    see = evidence_of(method, Ask(maps=True), lambda found: found.maps_BChw, partial(as_trained, "fp32"))
    network = MethodNetwork(method, 64, (0.0,) * 3, (1.0,) * 3, see)
    whole, tiled = by_windows(network, images, FIRST), by_windows(network, images, LookSettings(max_patches=50))
    torch.testing.assert_close(whole.maps, tiled.maps)
    torch.testing.assert_close(whole.scores, tiled.scores)
    assert method.seen[0] == (64, 100)
    assert set(method.seen[1:]) == {(28, 28)}  # 7 x 7 patches
