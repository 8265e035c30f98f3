from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tag2mask.data import DataSettings, open_dataset
from tag2mask.data.check.folder import check
from tag2mask.data.reading import read_image, read_mask, read_scaled
from tag2mask.synthetic.landcover import CLASSES, SPECTRA, compose_tile, write_landcover


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("rasterio", reason="the extra geo is not installed")
    root = tmp_path_factory.mktemp("world") / "land"
    write_landcover(root, {"train": 12, "val": 4}, side=32)
    return root


def test_a_world_passes_the_check(world: Path) -> None:
    report = check(world, DataSettings())
    assert not report.fatal
    assert (report.images, report.splits, report.masks) == (16, {"train": 12, "val": 4}, 16)


def test_tags_follow_the_ten_percent_rule(world: Path) -> None:
    for sample in open_dataset(world, DataSettings().completed(world), "all"):
        assert sample.truth is not None
        counts = np.bincount(read_mask(sample.truth).ravel(), minlength=len(CLASSES))
        assert sample.tags == tuple(np.flatnonzero(counts / 32**2 >= 0.1).tolist())


def test_tiles_are_deep_placed_and_side_by_side(world: Path) -> None:
    import rasterio

    with rasterio.open(world / "images/train_0001.tif") as file:
        assert (file.count, file.dtypes[0], file.crs.to_epsg()) == (13, "uint16", 32632)
        assert file.transform.c == 500_000 + 320


def test_statistics_are_those_of_the_train_tiles(world: Path) -> None:
    settings = DataSettings().completed(world)
    images = [read_scaled(path, settings) for path in sorted((world / "images").glob("train*"))]
    assert settings.mean == pytest.approx(np.mean([image.mean((1, 2)) for image in images], 0), rel=1e-4)
    assert (settings.bands, settings.rgb) == (13, (3, 2, 1))


def test_a_class_looks_like_its_spectrum_and_a_seed_decides_all() -> None:
    tile, again = (compose_tile(64, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(tile.pixels, again.pixels)
    for tag in tile.tags():
        found = np.median(tile.pixels[tile.truth == tag], axis=0)
        wanted = np.array(SPECTRA[CLASSES.names[tag]])
        assert np.corrcoef(found, wanted)[0, 1] > 0.97


def test_the_same_seed_gives_the_same_files(world: Path, tmp_path: Path) -> None:
    write_landcover(tmp_path / "again", {"train": 12, "val": 4}, side=32)
    np.testing.assert_array_equal(
        read_image(world / "images/val_0003.tif", 13), read_image(tmp_path / "again/images/val_0003.tif", 13)
    )
