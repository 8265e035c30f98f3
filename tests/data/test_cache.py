from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from command import call
from interruption import interrupted_after
from tag2mask import train
from tag2mask.data import DataSettings, cache, open_dataset
from tag2mask.data.cache import SmallCopies
from tag2mask.data.loading import TaggedImages
from tag2mask.data.reading import read_image
from tag2mask.data.sample import Sample
from tag2mask.data.settings import AugmentSettings
from tag2mask.data.transforms import train_transform
from tag2mask.errors import DataError

TRANSFORM = train_transform(32, (0.5,) * 3, (0.25,) * 3, AugmentSettings())
NOISE = np.random.default_rng(0)


def image(root: Path, shape: tuple[int, int, int] = (40, 60, 3), dtype: str = "uint8", name: str = "a/p.1") -> Sample:
    pixels = NOISE.random(shape) * (1 if dtype.startswith("float") else np.iinfo(dtype).max)
    path = root / f"images/{name}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, pixels.astype(dtype))
    return Sample(name, path)


def read(root: Path, sample: Sample, side: int = 16, bands: int = 3) -> NDArray[np.generic]:
    return SmallCopies(root, side, bands).read(sample)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The images that were decoded."""
    opened: list[Path] = []
    monkeypatch.setattr(cache, "read_image", lambda path, bands: opened.append(path) or read_image(path, bands))
    return opened


@pytest.mark.parametrize("side", [40, 41, 500])
def test_an_image_that_is_no_larger_is_read_as_it_is(tmp_path: Path, side: int) -> None:
    sample = image(tmp_path)
    assert np.array_equal(read(tmp_path, sample, side), read_image(sample.image, 3))
    assert not [path for path in (tmp_path / ".cache").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("bands", "dtype", "suffix"),
    [
        (3, "uint8", ".png"),
        (1, "uint8", ".png"),
        (4, "uint8", ".npy"),
        (3, "uint16", ".npy"),
        (13, "int16", ".npy"),
        (2, "float32", ".npy"),
        (1, "float16", ".npy"),
        (1, "float64", ".npy"),
    ],
)
def test_a_copy_is_made_once_and_loses_nothing(
    tmp_path: Path, made: list[Path], bands: int, dtype: str, suffix: str
) -> None:
    sample = image(tmp_path, (40, 60, bands), dtype)
    first, again = (read(tmp_path, sample, bands=bands) for _ in range(2))
    assert made == [sample.image]
    assert np.array_equal(first, again)
    assert (again.shape, again.dtype, first.dtype) == ((16, 24, bands), dtype, dtype)
    names = {path.name for path in (tmp_path / ".cache/16/a").iterdir()}
    assert names == {f"p.1{suffix}", "p.1.rec"}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_pixel_is_averaged_and_none_leaves_the_range(tmp_path: Path, dtype: str) -> None:
    sample = image(tmp_path, (64, 96, 3), dtype)
    pixels, small = read_image(sample.image, 3).astype(float), read(tmp_path, sample, 8).astype(float)
    assert pixels.min() <= small.min() < small.max() <= pixels.max()
    assert small.std() < pixels.std() / 4
    np.testing.assert_allclose(small.mean((0, 1)), pixels.mean((0, 1)), rtol=0.03)


def test_images_are_turned_before_they_shrink(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "p.jpg", exif=exif)
    assert read(tmp_path, Sample("p", tmp_path / "p.jpg")).shape == (24, 16, 3)


def test_a_changed_image_is_noticed(tmp_path: Path, made: list[Path]) -> None:
    sample = image(tmp_path)
    before = read(tmp_path, sample)
    image(tmp_path)  # as large, other pixels
    os.utime(sample.image, ns=(0, 1))
    after = read(tmp_path, sample)
    assert len(made) == 2
    assert not np.array_equal(before, after)
    assert np.array_equal(read(tmp_path, sample), after)
    image(tmp_path, (16, 16, 3))
    assert np.array_equal(read(tmp_path, sample), read_image(sample.image, 3))


def test_an_image_that_was_only_touched_is_hashed_once(
    tmp_path: Path, made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = image(tmp_path)
    before = read(tmp_path, sample)
    os.utime(sample.image, ns=(0, 1))
    hashed: list[Path] = []
    sha256 = cache.file_sha256
    monkeypatch.setattr(cache, "file_sha256", lambda path: hashed.append(path) or sha256(path))
    for _ in range(3):
        assert np.array_equal(read(tmp_path, sample), before)
    assert made == hashed == [sample.image]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage"),
    [("p.1.png", cut), ("p.1.png", flip), ("p.1.png", Path.unlink), ("p.1.rec", cut), ("p.1.rec", Path.unlink)],
)
def test_a_damaged_copy_is_made_anew(
    tmp_path: Path, made: list[Path], name: str, damage: Callable[[Path], None]
) -> None:
    sample = image(tmp_path)
    before = read(tmp_path, sample)
    damage(tmp_path / ".cache/16/a" / name)
    for _ in range(2):
        assert np.array_equal(read(tmp_path, sample), before)
    assert len(made) == 2


@pytest.mark.parametrize("content", ["[]", "{}", "", "null", '{"stamp": 3}', "[" * 5000])
def test_a_record_of_something_else_is_none(tmp_path: Path, made: list[Path], content: str) -> None:
    sample = image(tmp_path)
    read(tmp_path, sample)
    (tmp_path / ".cache/16/a/p.1.rec").write_text(content)
    read(tmp_path, sample)
    assert len(made) == 2


def test_other_bands_are_another_copy(tmp_path: Path) -> None:
    Image.fromarray(NOISE.integers(0, 256, (40, 60, 3), np.uint8)).save(tmp_path / "p.png")
    sample = Sample("p", tmp_path / "p.png")
    assert read(tmp_path, sample, bands=3).shape == (16, 24, 3)
    assert read(tmp_path, sample, bands=1).shape == (16, 24, 1)


def read_all(root: Path, samples: list[Sample], seen: multiprocessing.Queue[list[bytes]]) -> None:
    copies = SmallCopies(root, 16, 3)
    seen.put([copies.read(sample).tobytes() for sample in samples])


def test_two_processes_at_once_read_the_same(tmp_path: Path) -> None:
    samples = [image(tmp_path, name=f"p{i}") for i in range(20)]
    context = multiprocessing.get_context("fork")
    seen = context.Queue()
    processes = [context.Process(target=read_all, args=(tmp_path, samples, seen)) for _ in range(2)]
    for process in processes:
        process.start()
    one, other = seen.get(timeout=60), seen.get(timeout=60)
    for process in processes:
        process.join()
    assert one == other == [read(tmp_path, sample).tobytes() for sample in samples]
    assert len(list((tmp_path / ".cache/16").iterdir())) == 40  # nothing half-written is left


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_gives_the_same_by_any_number_of_workers(squares: Path, workers: int) -> None:
    settings = DataSettings(cache=24)
    images = TaggedImages(squares, open_dataset(squares, settings, "train"), settings, TRANSFORM)
    batches = [[(7, index) for index in range(first, first + 2)] for first in range(0, len(images), 2)]
    for _ in range(2):
        crops = torch.cat([batch[0] for batch in DataLoader(images, batch_sampler=batches, num_workers=workers)])
        assert torch.equal(crops, torch.stack([images[7, index][0] for index in range(len(images))]))
    assert len(list((squares / ".cache/24").glob("*.png"))) == 8
    assert len(open_dataset(squares, settings)) == 12  # copies are no images


def test_a_side_that_is_not_smaller_changes_nothing(squares: Path) -> None:
    dataset = open_dataset(squares, DataSettings(), "train")
    plain, cached = (TaggedImages(squares, dataset, DataSettings(cache=side), TRANSFORM) for side in (None, 48))
    assert all(torch.equal(plain[3, index][0], cached[3, index][0]) for index in range(len(plain)))


def test_a_folder_that_cannot_be_written_is_one_error(
    squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    sample = image(tmp_path)
    copies = SmallCopies(tmp_path, 16, 3)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(DataError, match=r"16: cannot be written \(No space left on device\); data\.cache keeps"):
            copies.read(sample)
    assert list((tmp_path / ".cache/16/a").iterdir()) == []
    (squares / ".cache").write_text("in the way")
    code = call(monkeypatch, "train", squares, "--out", tmp_path / "run", "--weights", "none", "--set", "data.cache=24")
    assert code == 2
    assert "do not set data.cache" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"p\.png: the image is missing"):
        read(tmp_path, Sample("p", tmp_path / "p.png"))


@pytest.mark.parametrize("workers", [0, 2])
def test_training_from_copies_resumes_exactly(
    squares: Path, tmp_path: Path, small: dict[str, object], workers: int
) -> None:
    small |= {"data": {"cache": 36}, "workers": workers}
    train(squares, tmp_path / "whole", **small)
    for path in (squares / ".cache/36").glob("p0[0-3].*"):
        path.unlink()
    with interrupted_after(3), pytest.raises(KeyboardInterrupt):
        train(squares, tmp_path / "halved", **small)
    train(squares, tmp_path / "halved", resume=True, **small)
    one, other = (load_file(tmp_path / run / "model.safetensors") for run in ("whole", "halved"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    records = [json.loads(path.read_text()) for path in (squares / ".cache/36").glob("*.rec")]
    assert len(records) == 12  # validation images too
