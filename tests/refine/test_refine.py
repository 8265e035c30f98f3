"""Refiners on maps whose right answer is known."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import numpy as np
import pytest
import torch

from tag2mask.errors import SettingsError
from tag2mask.refine import compiled_lattice
from tag2mask.refine.chain import PIXEL_REFINERS, require_refiners
from tag2mask.refine.compiled_lattice import CompiledLattice
from tag2mask.refine.dense_crf import crf, crf_in_cpp, normalised_kernel, pairwise, places, require_engine, unary
from tag2mask.refine.lattice import Lattice, surround
from tag2mask.refine.pixel_adaptive import DILATIONS, neighbour_weights, neighbours, pamr
from tag2mask.refine.settings import CRF_RECIPES, CRFSettings, RefineSettings

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
    assert RefineSettings(names="affinity, pamr").names == ("affinity", "pamr")  # type: ignore[arg-type]
    assert RefineSettings(names="none").names == ()  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"refiner 'crff' is unknown"):
        require_refiners(["crff"])
    with pytest.raises(SettingsError, match="this order: affinity,pamr"):
        require_refiners(["pamr", "affinity"])
    with pytest.raises(SettingsError, match=r"^refiner affinity is named twice: name it once$"):
        require_refiners(["affinity", "affinity", "crf"])


def test_simplices_surround_their_points() -> None:
    torch.manual_seed(0)
    for d in (2, 5):
        vertices, weight = surround(torch.randn(500, d) * 3)
        torch.testing.assert_close(weight.sum(1), torch.ones(500), atol=1e-4, rtol=0)
        assert weight.min() > -1e-4
        whole = torch.cat([vertices, -vertices.sum(-1, keepdim=True)], -1)
        assert (whole % (d + 1) == whole[..., :1] % (d + 1)).all()  # all coordinates agree modulo d + 1


@pytest.mark.parametrize("build", [Lattice, CompiledLattice])
def test_the_lattice_filters_like_a_gaussian(build: type[Lattice | CompiledLattice]) -> None:
    torch.manual_seed(0)
    points = torch.rand(600, 2) * 6
    values = torch.rand(600, 3)
    exact = torch.exp(-torch.cdist(points, points).square() / 2)
    lattice = build(points)
    ones = torch.ones(600, 1)
    smooth, wanted = lattice.filter(values) / lattice.filter(ones), exact @ values / exact.sum(1, keepdim=True)
    assert (smooth - wanted).abs().mean() < 0.01


def test_the_compiled_lattice_is_the_one_in_torch() -> None:
    """With more vertices than its table has room for in the beginning."""
    torch.manual_seed(0)
    points, values, factor = torch.rand(20000, 5) * 9, torch.rand(20000, 3), torch.rand(20000)
    lattice, compiled = Lattice(points), CompiledLattice(points)
    assert lattice.vertices == compiled.vertices > 2**15
    torch.testing.assert_close(compiled.filter(values), lattice.filter(values), atol=1e-4, rtol=1e-4)
    for one in (lattice, compiled):
        one.weigh(factor)
    torch.testing.assert_close(compiled.filter(values), lattice.filter(values), atol=1e-4, rtol=1e-4)


def test_the_normalised_kernel_is_nearly_symmetric() -> None:
    torch.manual_seed(0)
    points, values, ones = torch.rand(600, 2) * 6, torch.rand(600, 1), torch.ones(600, 1)
    kernel = normalised_kernel(points)
    torch.testing.assert_close((values * kernel.filter(ones)).sum(), kernel.filter(values).sum(), rtol=1e-3, atol=0)


def test_compiling_goes_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def njit(function: Any = None, **options: Any) -> Any:
        if options:
            raise RuntimeError("cannot cache function: no locator available")
        return function

    monkeypatch.setattr(compiled_lattice.numba, "njit", njit)
    assert compiled_lattice.compiled(abs) is abs


def test_the_crf_moves_a_wrong_edge_to_the_colours() -> None:
    scores = torch.full((2, 24, 24), 0.3)
    scores[0, :, :14] = 0.7
    scores[1, :, 14:] = 0.7
    labels = crf(TWO_SIDES, scores, CRFSettings(size=None)).argmax(0)
    assert (labels[:, :10] == 0).all()
    assert (labels[:, 10:] == 1).all()


@pytest.mark.parametrize(("size", "factor"), [(24, 2.0), (48, 1.0), (None, 1.0)])
def test_kernels_grow_with_the_image(size: int | None, factor: float) -> None:
    image = torch.rand(3, 20, 48)
    found = pairwise(image, CRFSettings(place=3.0, colour_place=40.0, colour=5.0, size=size))
    (_, near_N2), (_, alike_N5) = found
    torch.testing.assert_close(near_N2[-1], torch.tensor([47.0, 19.0]) / (3.0 * factor))
    torch.testing.assert_close(alike_N5[-1, :2], torch.tensor([47.0, 19.0]) / (40.0 * factor))
    torch.testing.assert_close(alike_N5[-1, 2:], image[:, -1, -1] * 255 / 5.0)


def test_label_unary_vectors() -> None:
    """Section 8.7: believed with 0.7 among three labels."""
    scores = torch.tensor([[[0.2]], [[0.9]], [[0.1]]])
    energy = unary(scores, CRFSettings(unary="labels")).flatten()
    torch.testing.assert_close(energy, torch.tensor([1.897120, 0.356675, 1.897120]), atol=1e-5, rtol=0)


def test_two_rounds_of_the_crf_give_pydensecrfs_numbers() -> None:
    """Computed with pydensecrf2 1.1."""
    y, x = torch.meshgrid(torch.arange(5), torch.arange(6), indexing="ij")
    image = torch.stack([37 * x + 11 * y, 53 * y + 7 * x, torch.where(x < 3, 40, 200)]).remainder(256) / 255
    scores = torch.stack([1 + (x + y) % 3, 1 + (2 * x + y) % 4, 1 + (x * y) % 2]).float()
    settings = CRFSettings.parse({**CRF_RECIPES["mctformer"], "iterations": 2})
    found = crf(image, scores, settings)[0]
    wanted = torch.tensor(
        [[0.23001, 0.00013, 0.99996, 0.00001, 0.99984, 0.23277], [0.99982, 0.28118, 0.21576, 0.00015, 0.99996, 0.00001]]
    )
    torch.testing.assert_close(found[[0, 4]], wanted, atol=2e-5, rtol=0)


@pytest.mark.parametrize("recipe", CRF_RECIPES)
def test_the_crf_is_that_of_pydensecrf(recipe: str) -> None:
    densecrf = pytest.importorskip("pydensecrf.densecrf", reason="the oracle is not there: pip install pydensecrf2")
    torch.manual_seed(0)
    settings = CRFSettings.parse(CRF_RECIPES[recipe])
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 8), size=(48, 60), mode="bilinear")[0]
    image = (image * 255).round() / 255
    scores = torch.rand(4, 48, 60)
    oracle = densecrf.DenseCRF2D(60, 48, 4)
    oracle.setUnaryEnergy(unary(scores, settings).flatten(1).contiguous().numpy())
    oracle.addPairwiseGaussian(sxy=settings.place, compat=settings.place_weight)
    pixels = (image * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    oracle.addPairwiseBilateral(
        sxy=settings.colour_place, srgb=settings.colour, rgbim=pixels, compat=settings.colour_weight
    )
    wanted = torch.tensor(np.array(oracle.inference(settings.iterations))).reshape(4, 48, 60)
    torch.testing.assert_close(crf(image, scores, settings), wanted, atol=1e-3, rtol=0)


@pytest.mark.parametrize("bands", [1, 3, 13])
def test_the_engine_in_cpp_gives_the_same(bands: int) -> None:
    pytest.importorskip("pydensecrf.densecrf", reason="the extra is not there: pip install pydensecrf2")
    torch.manual_seed(0)
    image, scores = torch.rand(bands, 20, 24), torch.rand(3, 20, 24)
    settings = CRFSettings(place_weight=0.0, iterations=3)
    torch.testing.assert_close(crf_in_cpp(image, scores, settings), crf(image, scores, settings), atol=1e-3, rtol=0)
    assert crf_in_cpp(image, scores[:1], settings).tolist() == torch.ones(1, 20, 24).tolist()


def test_a_missing_extra_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require_engine("torch")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    require_engine("torch")
    with pytest.raises(SettingsError, match=re.escape("pip install 'tag2mask[crf]'")):
        require_engine("pydensecrf2")


@pytest.mark.parametrize("bands", [1, 3, 13])
def test_the_crf_takes_any_bands_and_one_class(bands: int) -> None:
    assert crf(torch.rand(bands, 9, 7), torch.rand(3, 9, 7), CRFSettings()).sum(0).allclose(torch.ones(9, 7))
    assert crf(torch.rand(bands, 9, 7), torch.rand(1, 9, 7), CRFSettings()).shape == (1, 9, 7)
    assert crf(torch.rand(bands, 1, 1), torch.rand(2, 1, 1), CRFSettings()).shape == (2, 1, 1)
    assert places(2, 3, torch.zeros(1)).tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]


def test_crf_recipes_by_name() -> None:
    assert RefineSettings(crf="weaktr-voc").crf.unary == "labels"  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="settings or a name, mctformer"):
        RefineSettings.parse({"crf": "voc"})
