from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from geotiff import write_geotiff
from tag2mask.data.settings import DataSettings
from tag2mask.data.statistics import Histogram, Moments, write_statistics
from tag2mask.errors import DataError, SettingsError


def write_set(root: Path, images: list[np.ndarray]) -> Path:
    (root / "images").mkdir(parents=True)
    for number, pixels in enumerate(images):
        np.save(root / f"images/{number}.npy", pixels)
    (root / "labels.csv").write_text("image,labels\n0.npy,a\n")
    return root


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_one_pass_gives_what_all_values_at_once_give(tmp_path: Path, dtype: str) -> None:
    generator = np.random.default_rng(0)
    sizes = [(9, 7), (16, 4), (30, 30)]
    images = [(generator.gamma(2, 20 * (i + 1), (*size, 5)) % 250).astype(dtype) for i, size in enumerate(sizes)]
    seen: list[int] = []
    found = write_statistics(
        write_set(tmp_path, images), DataSettings(bands=5, clip=((10.0, 200.0),)), lambda: seen.append(1)
    )
    raw = np.concatenate([image.reshape(-1, 5) for image in images]).astype(np.float64)
    shown = (raw.clip(10, 200) - 10) / 190
    assert len(seen) == 3
    assert [band.mean for band in found] == pytest.approx(shown.mean(0), abs=1e-6)
    assert [band.std for band in found] == pytest.approx(shown.std(0), abs=1e-6)
    assert [(band.minimum, band.maximum) for band in found] == list(zip(raw.min(0), raw.max(0), strict=True))
    for share in (2, 50, 98):
        assert [band.percentiles[str(share)] for band in found] == pytest.approx(np.percentile(raw, share, 0), abs=1.5)


def test_a_histogram_widens_in_both_directions() -> None:
    values = np.random.default_rng(0).normal(0, 1000, 20_000)
    histogram = Histogram(values[:1])
    for part in np.split(values, 20):
        histogram.add(part)
    assert histogram.counts.sum() == 20_000
    for share in (1, 50, 99):
        assert histogram.percentile(share) == pytest.approx(np.percentile(values, share), abs=2 * histogram.width)
    assert histogram.width < 20


def test_moments_of_large_values_keep_their_digits() -> None:
    values = 1e9 + np.random.default_rng(0).normal(0, 1, 10_000)
    moments = Moments()
    for part in np.split(values, 10):
        moments.add(part)
    assert moments.std() == pytest.approx(values.std(), rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3])
def test_a_band_that_never_changes_is_not_divided_by_rounding(value: float) -> None:
    moments = Moments()
    for count in (7, 1000, 333):
        moments.add(np.full(count, value))
    assert moments.std() == 1.0


def test_pixels_without_data_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels.csv").write_text("image,labels\n0.tif,a\n")
    pixels = np.full((4, 4, 5), 30_000, np.uint16)
    pixels[:2] = 0
    write_geotiff(tmp_path / "images/0.tif", pixels, nodata=0)
    [first, *_] = write_statistics(tmp_path, DataSettings(bands=5))
    assert (first.mean, first.std, first.minimum) == (pytest.approx(30_000 / 65_535), 1.0, 30_000)


def test_the_files_say_so_and_keep_the_rest(tmp_path: Path) -> None:
    write_set(tmp_path, [np.full((2, 2, 2), 51, np.uint8), np.full((2, 2, 2), 102, np.uint8)])
    (tmp_path / "dataset.yaml").write_text("bands: 2\nrgb: [1, 0, 0]\n")
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits/train.txt").write_text("0\n")
    write_statistics(tmp_path)
    content = yaml.safe_load((tmp_path / "dataset.yaml").read_text())
    assert content == {"bands": 2, "rgb": [1, 0, 0], "mean": pytest.approx([0.2, 0.2]), "std": [1.0, 1.0]}
    whole = DataSettings().completed(tmp_path)
    assert whole.mean == pytest.approx((0.2, 0.2))
    rows = json.loads((tmp_path / "statistics.json").read_text())
    assert (rows["photographs"], rows["bands"][0]["maximum"]) == (1, 51)
    write_statistics(tmp_path, DataSettings(clip=((0.0, 102.0),)))  # measured anew, the old ones forgotten
    assert DataSettings().completed(tmp_path).mean == pytest.approx((0.5, 0.5))


def test_nothing_is_written_if_an_image_is_wrong(tmp_path: Path) -> None:
    write_set(tmp_path, [np.zeros((2, 2, 5), np.uint8), np.zeros((2, 2, 4), np.uint8)])
    with pytest.raises(DataError, match=r"1\.npy: has shape \(2, 2, 4\)"):
        write_statistics(tmp_path, DataSettings(bands=5))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "labels.csv"]
    with pytest.raises(SettingsError, match="clip has 2 values"):
        write_statistics(tmp_path, DataSettings(bands=5, clip=((0.0, 1.0),) * 2))
