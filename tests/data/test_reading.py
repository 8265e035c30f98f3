from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tag2mask.data.reading import read_image, read_mask, to_float
from tag2mask.data.transforms import AugmentSettings, eval_resize, train_transform
from tag2mask.errors import DataError


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_pillow_images_of_every_band_count(tmp_path: Path, bands: int) -> None:
    Image.new("RGB", (6, 4), (255, 0, 0)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", bands).shape == (4, 6, bands)


def test_arrays_carry_any_bands_and_integers_scale_by_their_type(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((4, 6, 13), 65535, np.uint16))
    image = to_float(read_image(tmp_path / "a.npy", 13))
    assert image.shape == (13, 4, 6)
    assert (image == 1).all()
    with pytest.raises(DataError, match=r"shape \(4, 6, 13\), wanted \(height, width, 3\)"):
        read_image(tmp_path / "a.npy", 3)


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (6, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg", 3).shape == (6, 4, 3)


def test_arrays_with_objects_are_not_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"a\.npy: cannot be read"):
        read_image(tmp_path / "a.npy", 3)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png: the photograph is missing"):
        read_image(tmp_path / "none.png", 3)
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.jpg: is no image"):
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


def test_evaluation_keeps_proportions_and_pads_to_whole_patches() -> None:
    pixels, size = eval_resize(torch.rand(3, 213, 320), 224, 14, (0.5,) * 3, (0.5,) * 3)
    assert size == (224, 337)
    assert pixels.shape == (3, 224, 350)
    assert torch.equal(pixels[:, :, 336:337].expand(-1, -1, 14), pixels[:, :, 336:])


@pytest.mark.parametrize("bands", [1, 3, 13])
def test_training_crops_of_any_bands(bands: int) -> None:
    transform = train_transform(32, (0.5,) * bands, (0.25,) * bands, AugmentSettings())
    assert transform(torch.rand(bands, 40, 56)).shape == (bands, 32, 32)
