"""Two hundred damaged images: each is either read to sound pixels or named in one line, and no verb ends for it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geotiff import write_geotiff
from tag2mask.data import DataSettings
from tag2mask.data.batches import batches
from tag2mask.data.check.folder import check
from tag2mask.data.folder import find_images
from tag2mask.data.reading import read_image, read_mask
from tag2mask.data.sample import Sample
from tag2mask.errors import DataError

COUNT, SEED = 200, 7
FORMS = {".jpg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP", ".tif": "TIFF"}
MODES = {".jpg": ["RGB", "L"], ".bmp": ["RGB", "L"], ".webp": ["RGB", "RGBA"]}


def sound(path: Path, generator: np.random.Generator) -> bytes:
    """A file of its suffix's format with an image in it."""
    pixels = generator.integers(0, 255, (40, 48, 3), np.uint8).cumsum(1).astype(np.uint8)
    if path.name.startswith("deep"):  # which rasterio reads
        return write_geotiff(path, pixels.astype(np.uint16), compress="deflate").read_bytes()
    file = io.BytesIO()
    if path.suffix == ".npy":
        np.save(file, pixels)
        return file.getvalue()
    exif = Image.Exif()
    exif[274] = int(generator.integers(1, 9))
    mode = str(generator.choice(MODES.get(path.suffix, ["RGB", "RGBA", "P", "L"])))
    more = {} if path.suffix == ".bmp" else {"exif": exif}
    Image.fromarray(pixels).convert(mode).save(file, FORMS[path.suffix], **more)
    return file.getvalue()


def damaged(content: bytes, generator: np.random.Generator) -> bytes:
    """The file cut short, with other bytes, with parts missing, doubled, or of zeros; mostly near its head."""
    length = len(content)
    place = int(generator.integers(min(length, 200) if generator.random() < 0.6 else length))
    size = int(generator.integers(1, 64))
    before, part, after = content[:place], content[place : place + size], content[place + size :]
    kind = generator.integers(6)
    if kind < 5:
        return (
            before,
            before + after,
            before + bytes(size) + after,
            before + part * 2 + after,
            before + b"\xff" * size,
        )[kind]
    changed = bytearray(content)
    for spot in generator.integers(length, size=size):
        changed[spot] = generator.integers(256)
    return bytes(changed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images ``p000.jpg`` and so on, all damaged, and one that is sound."""
    pytest.importorskip("rasterio", reason="the extra geo is not installed")
    root = tmp_path_factory.mktemp("damaged")
    generator = np.random.default_rng(SEED)
    (root / "images").mkdir()
    kinds = [*FORMS, ".npy", "deep"]
    for number in range(COUNT):
        kind = kinds[number % len(kinds)]
        name = f"deep{number:03d}.tif" if kind == "deep" else f"p{number:03d}{kind}"
        path = root / "images" / name
        path.write_bytes(damaged(sound(path, generator), generator))
    Image.new("RGB", (48, 40), (9, 9, 9)).save(root / "images/sound.png")
    rows = [f"{path.name},{'cat' if number % 2 else 'dog'}" for number, path in enumerate(images(root).values())]
    (root / "labels.csv").write_text("image,labels\n" + "\n".join(rows) + "\n")
    return root


def images(root: Path) -> dict[str, Path]:
    return find_images(root / "images")


def read_or_named(path: Path, read: Callable[[Path], np.ndarray]) -> np.ndarray | None:
    """Pixels, or None where the error is one line about the file."""
    try:
        return read(path)
    except DataError as error:
        message = str(error)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return None


def test_every_damaged_image_is_read_or_named(folder: Path) -> None:
    found = [read_or_named(path, lambda path: read_image(path, 3)) for path in images(folder).values()]
    read = [pixels for pixels in found if pixels is not None]
    assert all(pixels.shape[2:] == (3,) and np.isfinite(pixels).all() for pixels in read)
    assert len(found) == COUNT + 1
    assert COUNT // 10 < len(read) < 2 * COUNT // 3  # damage may lie where nobody looks


def test_damaged_masks_are_read_or_named(folder: Path) -> None:
    found = [read_or_named(path, read_mask) for path in images(folder).values()]
    assert all(labels.ndim == 2 for labels in found if labels is not None)
    assert len([labels for labels in found if labels is not None]) < COUNT // 2


def test_check_and_predict_go_on_past_all_of_them(folder: Path) -> None:
    report = check(folder, DataSettings())
    named = [problem.message for problem in report.problems if problem.severity == "error"]
    assert report.images == COUNT + 1
    failures: dict[str, str] = {}
    samples = [Sample(name, path) for name, path in images(folder).items()]
    read = [sample.name for batch in batches(samples, DataSettings(), 8, failures) for sample, _ in batch]
    assert "sound" in read
    assert len(read) + len(failures) == COUNT + 1
    assert sorted(named) == sorted(failures.values())
