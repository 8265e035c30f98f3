from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tag2mask.data import DataSettings, open_dataset
from tag2mask.data.check.folder import check
from tag2mask.data.reading import read_mask
from tag2mask.synthetic.defects import CLASSES, DEFECTS, compose_surface, write_defects
from tag2mask.synthetic.endoscopy import FINDINGS, mucosa, write_endoscopy

Write = Callable[[Path], None]
WORLDS: dict[str, Write] = {
    "defects": lambda root: write_defects(root, {"train": 24, "val": 4}, side=64),
    "endoscopy": lambda root: write_endoscopy(root, {"train": 24, "val": 4}, side=64),
}


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Write]:
    root, write = tmp_path_factory.mktemp("generated") / request.param, WORLDS[request.param]
    write(root)
    return root, write


def test_it_passes_the_check(world: tuple[Path, Write]) -> None:
    report = check(world[0], DataSettings())
    assert not report.fatal
    assert (report.images, report.splits, report.masks) == (28, {"train": 24, "val": 4}, 28)


def test_tags_are_what_the_masks_hold_and_some_images_have_none(world: tuple[Path, Write]) -> None:
    samples = list(open_dataset(world[0], DataSettings(), "all"))
    for sample in samples:
        assert sample.truth is not None
        values = set(np.unique(read_mask(sample.truth)).tolist()) - {0}
        assert {tag + 1 for tag in sample.tags or ()} == values
    assert any(not sample.tags for sample in samples)


def test_the_same_seed_makes_the_same_images(world: tuple[Path, Write], tmp_path: Path) -> None:
    world[1](tmp_path)
    for name in ("train_0003", "val_0003"):
        first, second = (np.asarray(Image.open(root / f"images/{name}.png")) for root in (world[0], tmp_path))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", range(len(DEFECTS)))
def test_defects_are_small(kind: int) -> None:
    covers = [DEFECTS[kind](224, np.random.default_rng(seed)) > 0.3 for seed in range(8)]
    shares = [cover.mean() for cover in covers]
    assert max(shares) < 0.1
    assert np.mean(shares) > 5e-4


@pytest.mark.parametrize("kind", range(len(FINDINGS)))
def test_findings_fill_a_part_of_the_frame(kind: int) -> None:
    for seed in range(8):
        generator = np.random.default_rng(seed)
        colour, cover = FINDINGS[kind][0](mucosa(112, generator), generator)
        assert colour.shape == (112, 112, 3)
        assert 0 <= cover.min() <= cover.max() <= 1
        assert 2e-3 < (cover > 0.5).mean() < 0.4


def test_a_composition_is_gray_and_its_truth_knows_only_the_kinds() -> None:
    image, truth = compose_surface(64, np.random.default_rng(0))
    assert (image[..., 0] == image[..., 2]).all()
    assert truth.max() <= len(CLASSES)
