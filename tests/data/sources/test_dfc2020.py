"""What only DFC2020 has: tables, Sentinel-1, two label schemes, the 10 % rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from tree_parts import Tree
from trees_dfc2020 import write_dfc2020

from tag2mask.data import DataSettings
from tag2mask.data.reading import read_image, read_scaled
from tag2mask.data.sources import open_source
from tag2mask.data.sources.dfc2020 import OF_DFC, OF_IGBP, large_classes
from tag2mask.data.sources.prepare import prepare
from tag2mask.errors import DataError


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return write_dfc2020(tmp_path / "tree")


def test_the_maps_are_those_of_the_released_code() -> None:
    """reference_methods.md, section 5.4."""
    assert OF_DFC.tolist() == [255, 0, 1, 255, 2, 3, 4, 5, 255, 6, 7]
    igbp = [0, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 6, 8, 9, 10]
    assert OF_IGBP.tolist() == [OF_DFC[value] for value in igbp]


@pytest.mark.parametrize(("side", "least"), [(224, 5018), (256, 6554)])
def test_a_class_needs_a_tenth_of_all_pixels(side: int, least: int) -> None:
    for count in (least, least - 1):
        labels = np.full(side * side, 255)
        labels[:count] = 3
        assert large_classes(labels.reshape(side, side), 0.1) == ((3,) if count == least else ())


def test_without_tables_every_tile_counts(tree: Tree) -> None:
    for path in tree.root.glob("*.csv"):
        path.unlink()
    source = open_source("dfc2020", tree.root, {})
    assert {split: set(names) for split, names in source.splits.items()} == {
        split: set(names) for split, names in tree.splits.items()
    }


@pytest.mark.parametrize("listed", [True, False])
def test_the_validation_season_may_have_a_folder_a_scene(tree: Tree, listed: bool) -> None:
    season = tree.root / "ROIs0000_validation"
    for sensor in ("s2", "s1", "dfc", "lc"):
        (season / f"{sensor}_validation").rename(season / f"{sensor}_2")
    if not listed:
        (tree.root / "validation_observations.csv").unlink()
    source = open_source("dfc2020", tree.root, {})
    assert sorted(source.splits["test"]) == sorted(tree.splits["test"])
    assert source.record("ROIs0000_validation_2_p3").image.is_file()


def test_tables_are_read_line_by_line(tree: Tree) -> None:
    (tree.root / "test_observations.csv").write_text("Seasons.TESTSET,31,1\n\nSeason,Scene,ID\n")
    with pytest.raises(DataError, match=r"test_observations\.csv, line 3: Season,Scene,ID is not an observation"):
        open_source("dfc2020", tree.root, {})


def test_tags_of_the_coarse_map_leave_truth_alone(tree: Tree) -> None:
    source = open_source("dfc2020", tree.root, {"tags": "lc"})
    record = source.record("ROIs0000_test_0_p7")  # IGBP 2, 6, 3: forest, shrubland, forest
    assert record.tags == (0, 1)
    assert record.truth is not None
    np.testing.assert_array_equal(record.truth(), tree.truth[record.name])


def test_foreign_labels_are_named(tree: Tree) -> None:
    import rasterio

    path = tree.root / "ROIs0000_test/dfc_31/ROIs0000_test_dfc_31_p0.tif"
    with rasterio.open(path, "r+") as file:
        file.write(np.full((1, 32, 32), 11, np.uint8))
    with pytest.raises(DataError, match=r"dfc_31_p0\.tif: holds the label 11; expected 0 to 10"):
        open_source("dfc2020", tree.root, {}).record("ROIs0000_test_31_p0")


def test_sentinel_1_is_appended_in_its_own_range(tree: Tree, tmp_path: Path) -> None:
    import rasterio

    done = prepare("dfc2020", tree.root, tmp_path / "out", {"radar": True, "scale": "range"})
    assert done.failures == {}
    path = tmp_path / "out/images/ROIs0000_test_0_p12.tif"
    folder = tree.root / "ROIs0000_test"
    optical = read_image(folder / "s2_0/ROIs0000_test_s2_0_p12.tif", 13)
    radar = read_image(folder / "s1_0/ROIs0000_test_s1_0_p12.tif", 2)
    np.testing.assert_array_equal(read_image(path, 15), np.concatenate([optical.astype(np.float32), radar], 2))
    settings = DataSettings().completed(tmp_path / "out")
    image = read_scaled(path, settings)
    np.testing.assert_allclose(image[13:], (radar.clip(-25, 0) + 25).transpose(2, 0, 1) / 25, atol=1e-6)
    np.testing.assert_allclose(image[:13], optical.clip(0, 1e4).transpose(2, 0, 1) / 1e4, atol=1e-6)
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 32632
    (folder / "s1_0/ROIs0000_test_s1_0_p12.tif").unlink()
    again = prepare("dfc2020", tree.root, tmp_path / "again", {"radar": True})
    assert list(again.failures) == ["ROIs0000_test_0_p12"]
    assert "s1_0_p12.tif" in again.failures["ROIs0000_test_0_p12"]
    assert not list((tmp_path / "again/images").glob(".*"))


def test_the_folder_says_how_it_is_read(tree: Tree, tmp_path: Path) -> None:
    prepare("dfc2020", tree.root, tmp_path / "out")
    content = yaml.safe_load((tmp_path / "out/dataset.yaml").read_text())
    assert (content["bands"], content["scale"], content["rgb"]) == (13, "maximum", [3, 2, 1])
    assert content["clip"] == [[0, 1e4]] * 13
    assert (len(content["mean"]), len(content["std"])) == (13, 13)
    assert (tmp_path / "out/images/ROIs0000_test_0_p12.tif").samefile(tree.image)
