from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geotiff import write_geotiff
from tag2mask.data.reading import read_image, read_mask, read_pixels, read_scaled, suffix_of
from tag2mask.data.settings import DataSettings
from tag2mask.errors import DataError


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_pillow_images_of_every_band_count(tmp_path: Path, bands: int) -> None:
    Image.new("RGB", (6, 4), (255, 0, 0)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", bands).shape == (4, 6, bands)


def test_arrays_carry_any_bands_and_integers_scale_by_their_type(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((4, 6, 13), 65535, np.uint16))
    image = read_scaled(tmp_path / "a.npy", DataSettings(bands=13))
    assert image.shape == (13, 4, 6)
    assert (image == 1).all()
    with pytest.raises(DataError, match=r"shape \(4, 6, 13\), expected \(height, width, 3\)"):
        read_image(tmp_path / "a.npy", 3)


def test_images_are_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (6, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg", 3).shape == (6, 4, 3)


@pytest.mark.parametrize(("form", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png"), ("TIFF", ".tif"), ("WEBP", ".webp")])
def test_images_inside_other_files_are_known_by_their_content(form: str, suffix: str) -> None:
    file, place = io.BytesIO(), Path("rows.parquet, row 3, column x.npy")
    Image.new("L", (6, 4), 2).save(file, form)
    assert read_image(place, 3, file.getvalue()).shape == (4, 6, 3)
    assert suffix_of(place, file.getvalue()) == suffix
    if form in ("PNG", "TIFF"):
        assert (read_mask(place, file.getvalue()) == 2).all()
    for reader in (suffix_of, read_mask, lambda path, content: read_image(path, 3, content)):
        with pytest.raises(DataError, match=r"^rows\.parquet, row 3, column x\.npy: "):
            reader(place, b"no image")


def test_arrays_with_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"a\.npy: cannot be read"):
        read_image(tmp_path / "a.npy", 3)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png: the image is missing"):
        read_image(tmp_path / "none.png", 3)
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.jpg: is not an image"):
        read_image(tmp_path / "bad.jpg", 3)
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:2000])
    with pytest.raises(DataError, match=r"cut\.jpg: cannot be read .*truncated"):
        read_image(tmp_path / "cut.jpg", 3)


def test_masks_of_8_and_16_bits_and_no_colour(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 6), 300, np.uint16)).save(tmp_path / "a.png")
    assert (read_mask(tmp_path / "a.png") == 300).all()
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match="is a colour image"):
        read_mask(tmp_path / "b.png")


UNUSABLE = {
    "int64": (np.zeros((2, 2, 5), np.int64), "holds int64; store uint8, uint16, or floats"),
    "not finite": (np.full((2, 2, 5), np.nan, np.float32), "holds values that are not finite"),
    "no pixels": (np.zeros((0, 2, 5), np.uint8), "has no pixels"),
    "flat": (np.zeros((2, 5), np.uint8), r"has shape \(2, 5\), expected \(height, width, 5\)"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_arrays_that_would_train_to_nothing_are_refused(tmp_path: Path, kind: str) -> None:
    pixels, message = UNUSABLE[kind]
    np.save(tmp_path / "a.npy", pixels)
    with pytest.raises(DataError, match=message):
        read_image(tmp_path / "a.npy", 5)


def test_an_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros((2, 2, 5)))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(DataError, match=r"a\.npy: is an archive of arrays"):
        read_image(tmp_path / "a.npy", 5)


def test_gray_of_more_than_8_bits_keeps_its_depth(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 6), 65535, np.uint16)).save(tmp_path / "a.png")
    assert (read_scaled(tmp_path / "a.png", DataSettings()) == 1).all()
    Image.fromarray(np.full((4, 6), 0.25, np.float32)).save(tmp_path / "a.tif")
    assert (read_scaled(tmp_path / "a.tif", DataSettings(bands=1)) == 0.25).all()
    with pytest.raises(DataError, match=r"a\.png: has 1 band, expected 4"):
        read_image(tmp_path / "a.png", 4)


def scaled(tmp_path: Path, pixels: np.ndarray, **settings: object) -> np.ndarray:
    np.save(tmp_path / "a.npy", pixels)
    return read_scaled(tmp_path / "a.npy", DataSettings.parse({"bands": pixels.shape[2], **settings}))


def test_raw_values_are_clipped_and_divided_as_the_settings_say(tmp_path: Path) -> None:
    pixels = np.array([[[-30.0, 100], [-20, 5000]]], np.float32)
    assert scaled(tmp_path, pixels, clip=[[-25, 0], [0, 1e4]]).tolist() == pytest.approx(
        np.array([[[0, 0.2]], [[0.01, 0.5]]])
    )
    own = scaled(tmp_path, pixels, clip=[[-25, 0], [0, 1e4]], scale="maximum")  # TokenMasking's, section 5.4
    assert own.tolist() == pytest.approx(np.array([[[0, 1]], [[0.02, 1]]]), abs=1e-4)
    assert scaled(tmp_path, np.zeros((2, 2, 1), np.uint16), scale="maximum").tolist() == [[[0, 0], [0, 0]]]
    assert scaled(tmp_path, np.full((1, 1, 1), 5000, np.uint16), clip=[0, 1e4]).item() == 0.5


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 13])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_geotiffs_of_any_bands_and_types(tmp_path: Path, bands: int, dtype: str) -> None:
    pixels = np.arange(4 * 6 * bands).reshape(4, 6, bands).astype(dtype)
    found = read_image(write_geotiff(tmp_path / "a.tif", pixels), bands)
    np.testing.assert_array_equal(found, pixels)
    assert found.dtype == dtype
    with pytest.raises(
        DataError, match=rf"a\.tif: has {bands} bands, expected 7; set the number of bands: --set bands"
    ):
        read_image(tmp_path / "a.tif", 7)


@pytest.mark.parametrize("bands", [3, 5])
def test_pixels_without_data_are_the_mean_of_their_band(tmp_path: Path, bands: int) -> None:
    pixels = np.full((2, 2, bands), 6, np.uint16)
    pixels[0] = 2
    pixels[0, 0, 0] = 0
    path = write_geotiff(tmp_path / "a.tif", pixels, nodata=0)
    assert np.ma.getmaskarray(read_pixels(path, bands)).sum() == 1
    found = read_image(path, bands)
    assert found[0, 0, 0] == (2 + 6 + 6) // 3
    assert (found.ravel()[1:] == pixels.ravel()[1:]).all()
    pixels[..., 0] = 0
    with pytest.raises(DataError, match=r"b\.tif: a band has no data at all"):
        read_image(write_geotiff(tmp_path / "b.tif", pixels, nodata=0), bands)


def test_not_a_number_may_stand_for_no_data_only(tmp_path: Path) -> None:
    pixels = np.ones((2, 2, 5), np.float32)
    pixels[0, 0] = np.nan
    assert (read_image(write_geotiff(tmp_path / "a.tif", pixels, nodata=np.nan), 5) == 1).all()
    with pytest.raises(DataError, match=r"b\.tif: holds values that are not finite"):
        read_image(write_geotiff(tmp_path / "b.tif", pixels), 5)


def test_deep_tiffs_without_rasterio_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.ones((2, 2, 3), np.uint16))
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(DataError, match=r"a\.tif: needs rasterio to be read"):
        read_image(path, 3)


def test_damaged_geotiffs_are_named(tmp_path: Path) -> None:
    path = write_geotiff(tmp_path / "a.tif", np.ones((64, 64, 13), np.uint16))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"a\.tif: cannot be read"):
        read_image(path, 13)
    (tmp_path / "b.tif").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"b\.tif: cannot be read"):
        read_image(tmp_path / "b.tif", 3)


def test_deep_gray_of_any_integers_keeps_its_values(tmp_path: Path) -> None:
    for dtype, value in (("int16", -300), ("int32", -70_000), ("uint32", 4_000_000_000), ("uint16", 65_000)):
        path = write_geotiff(tmp_path / f"{dtype}.tif", np.full((4, 6, 1), value, dtype))
        found = read_image(path, 1)
        assert found.dtype == dtype
        assert (found == value).all()
    assert (read_image(tmp_path / "int16.tif", 3) == -300).all()
    with pytest.raises(DataError, match=r"uint32\.tif: holds uint32, whose full range .* clip: \[LOW, HIGH\]"):
        read_scaled(path.with_name("uint32.tif"), DataSettings(bands=1))
    settings = DataSettings.parse({"bands": 1, "clip": [-80_000, -60_000]})
    assert (read_scaled(tmp_path / "int32.tif", settings) == 0.5).all()


def test_bytes_of_four_bands_are_not_read_as_three(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(1, 255, (16, 16, 4), np.uint8)
    marked = write_geotiff(tmp_path / "marked.tif", pixels)  # GDAL calls any fourth band of bytes alpha
    plain = write_geotiff(tmp_path / "plain.tif", pixels, photometric="MINISBLACK", alpha="NO")
    rgbx = write_geotiff(tmp_path / "rgbx.tif", pixels, photometric="RGB", alpha="NO")
    with pytest.raises(DataError, match=r"marked\.tif: has 3 bands and one marked as alpha, whose values are not"):
        read_image(marked, 3)
    for path in (plain, rgbx):
        with pytest.raises(DataError, match=r"has 4 bands, expected 3; set the number"):
            read_image(path, 3)
    for path in (marked, plain, rgbx):
        np.testing.assert_array_equal(read_pixels(path, 4), pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("kind", ["alpha", "inside", "beside"])
def test_what_alpha_and_masks_hide_is_no_data(kind: str, dtype: str, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
    pixels, seen = np.full((8, 8, 3), 9, dtype), np.full((8, 8), np.iinfo(dtype).max, dtype)
    pixels[0], seen[0] = 200, 0
    path = tmp_path / "a.tif"
    if kind == "alpha":
        write_geotiff(path, np.dstack([pixels, seen]), photometric="RGB", alpha="YES")
    else:
        write_geotiff(path, pixels)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=kind == "inside"), rasterio.open(path, "r+") as file:
            file.write_mask(seen > 0)
    assert (tmp_path / "a.tif.msk").exists() == (kind == "beside")
    assert np.ma.getmaskarray(read_pixels(path, 3))[:, :, 0].sum() == 8
    assert (read_image(path, 3) == 9).all()


def test_clear_pixels_of_any_format_are_no_data(tmp_path: Path) -> None:
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[0] = (7, 7, 7, 0)
    pixels[1, 0, 3] = 120
    for suffix in ("png", "webp", "tif"):
        Image.fromarray(pixels).save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
        assert (read_image(tmp_path / f"a.{suffix}", 3) == 255).all()
        assert (read_image(tmp_path / f"a.{suffix}", 1) == 255).all()
    assert read_image(tmp_path / "a.png", 4)[0, 0].tolist() == [7, 7, 7, 0]


def test_what_pillow_cannot_decode_goes_to_rasterio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.full((4, 6, 3), 9, np.uint8)
    path = write_geotiff(tmp_path / "a.tif", pixels)

    def lacks(*arguments: object) -> None:
        raise OSError("decoder lerc not available")

    monkeypatch.setattr("tag2mask.data.reading.read_by_pillow", lacks)
    np.testing.assert_array_equal(read_image(path, 3), pixels)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: cannot be read \(decoder lerc not available\)"):
        read_image(tmp_path / "a.png", 3)
