from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tag2mask.data import DataSettings, open_dataset
from tag2mask.data.check.folder import check
from tag2mask.data.reading import read_mask
from tag2mask.synthetic.defects import CLASSES, DEFECTS, compose_surface, write_defects


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shots") / "defects"
    write_defects(root, {"train": 24, "val": 4}, side=64)
    return root


def test_they_pass_the_check(shots: Path) -> None:
    report = check(shots, DataSettings())
    assert not report.fatal
    assert (report.photographs, report.splits, report.masks) == (28, {"train": 24, "val": 4}, 28)


def test_tags_are_what_the_masks_hold_and_some_images_have_none(shots: Path) -> None:
    samples = list(open_dataset(shots, DataSettings(), "all"))
    for sample in samples:
        assert sample.truth is not None
        values = set(np.unique(read_mask(sample.truth)).tolist()) - {0}
        assert {tag + 1 for tag in sample.tags or ()} == values
    assert any(not sample.tags for sample in samples)


def test_the_same_seed_makes_the_same_images(shots: Path, tmp_path: Path) -> None:
    write_defects(tmp_path / "again", {"train": 24, "val": 4}, side=64)
    for name in ("train_0003", "val_0003"):
        first, second = (np.asarray(Image.open(root / f"images/{name}.png")) for root in (shots, tmp_path / "again"))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", range(len(DEFECTS)))
def test_defects_are_small(kind: int) -> None:
    covers = [DEFECTS[kind](224, np.random.default_rng(seed)) > 0.3 for seed in range(8)]
    shares = [cover.mean() for cover in covers]
    assert max(shares) < 0.1
    assert np.mean(shares) > 5e-4


def test_a_composition_is_gray_and_its_truth_knows_only_the_kinds() -> None:
    image, truth = compose_surface(64, np.random.default_rng(0))
    assert (image[..., 0] == image[..., 2]).all()
    assert truth.max() <= len(CLASSES)
