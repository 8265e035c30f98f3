"""Smaller copies of large images, kept below the data folder, each with the hash of what it was made from.

::

    DATA/.cache/SIDE/NAME.png    8 bits, 1 or 3 bands; or NAME.npy
    DATA/.cache/SIDE/NAME.rec    what it was made from, and its own hash: JSON, and a suffix as short as an image's

Both are written in one move each and hold the same bytes whoever writes them, so that workers need no lock: a pair that
does not fit, or is damaged, is made anew. Shapes: Y X pixels.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tag2mask.data.opening import load_array, open_image, readable
from tag2mask.data.reading import read_image
from tag2mask.data.sample import Sample
from tag2mask.errors import DataError
from tag2mask.files import file_hash, sweep, write_bytes
from tag2mask.notation import from_json

CACHE = ".cache"
FORM = 1  # goes up when the same image would give another copy


@dataclass(frozen=True)
class Stamp:
    """A file's size and time of change: while they stay, so does the file."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class CopyRecord:
    """What a copy was made from and how. ``photograph`` and ``copy`` are SHA-256 of the files."""

    photograph: str
    stamp: Stamp
    copy: str
    suffix: str
    bands: int
    form: int


class SmallCopies:
    """The images of a data set with the short side ``side``; smaller ones as they are."""

    def __init__(self, root: Path, side: int, bands: int) -> None:
        """Make the folder.

        Raises:
            DataError: it cannot be made.
        """
        self.folder = root / CACHE / str(side)
        self.side = side
        self.bands = bands
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            sweep(self.folder, older=3600.0)
        except OSError as error:
            raise self.unwritable(error) from None

    def read(self, sample: Sample) -> NDArray[Any]:
        """Pixels ``(Y, X, bands)``; the copy is made if there is none that fits.

        Raises:
            DataError: the image cannot be read, or the copy cannot be written.
        """
        stamp = stamp_of(sample.image)
        pixels = self.kept(sample, stamp)
        return self.make(sample, stamp) if pixels is None else pixels

    def kept(self, sample: Sample, stamp: Stamp) -> NDArray[Any] | None:
        """The copy, if there is one, whole and of this very image."""
        record = read_record(self.folder / f"{sample.name}.rec")
        if record is None or (record.bands, record.form) != (self.bands, FORM):
            return None
        touched = record.stamp != stamp
        if touched and record.photograph != file_sha256(sample.image):
            return None
        if record.suffix not in (".png", ".npy"):
            return None
        path = self.folder / f"{sample.name}{record.suffix}"
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != record.copy:
            return None
        if touched:
            self.record(sample, replace(record, stamp=stamp))
        try:
            pixels = decode_lossless(path, content, self.bands)
        except DataError:  # what came with somebody's data may be anything
            return None
        fits = pixels.ndim == 3 and pixels.shape[2] == self.bands and min(pixels.shape[:2]) == self.side
        return pixels if fits and pixels.dtype.kind in "iuf" else None

    def make(self, sample: Sample, stamp: Stamp) -> NDArray[Any]:
        """Read the image and keep a copy, if it is large enough for one."""
        photograph = file_sha256(sample.image)  # before its pixels: one that changes in between differs next time
        pixels = read_image(sample.image, self.bands)
        if min(pixels.shape[:2]) <= self.side:
            return pixels
        small = shrunk(pixels, self.side)
        content, suffix = encode_lossless(small)
        self.write(self.folder / f"{sample.name}{suffix}", content)
        copy = hashlib.sha256(content).hexdigest()
        self.record(sample, CopyRecord(photograph, stamp, copy, suffix, self.bands, FORM))
        return small

    def record(self, sample: Sample, record: CopyRecord) -> None:
        """Write what is known of a copy."""
        self.write(self.folder / f"{sample.name}.rec", (json.dumps(asdict(record), indent=2) + "\n").encode())

    def write(self, path: Path, content: bytes) -> None:
        """A file in one move."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content, writer=str(os.getpid()))
        except OSError as error:
            raise self.unwritable(error) from None

    def unwritable(self, error: OSError) -> DataError:
        """What to say of a folder that takes no copies."""
        return DataError(
            f"{self.folder}: cannot be written ({error.strerror}); data.cache keeps smaller copies of the images "
            "there: make it writable, or leave data.cache out"
        )


def stamp_of(path: Path) -> Stamp:
    """An image's size and time of change.

    Raises:
        DataError: it is missing.
    """
    try:
        found = path.stat()
    except OSError:
        raise DataError(f"{path}: the image is missing") from None
    return Stamp(found.st_size, found.st_mtime_ns)


def file_sha256(path: Path) -> str:
    """SHA-256 of an image's bytes.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return file_hash(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def read_record(path: Path) -> CopyRecord | None:
    """What is known of a copy; nothing if the file is missing or damaged."""
    try:
        content = from_json(path.read_bytes())
        return CopyRecord(**{**content, "stamp": Stamp(**content["stamp"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def shrunk(pixels: NDArray[Any], side: int) -> NDArray[Any]:
    """Pixels ``(Y, X, bands)`` with the short side ``side``, of the same type.

    Pillow's triangle filter over all pixels that a new one covers: whole numbers for 8 bits, so the same on every
    machine, and never beyond the range of what it averages.
    """
    height, width = pixels.shape[:2]
    size = (round(width * side / min(height, width)), round(height * side / min(height, width)))
    eight = pixels.dtype == np.uint8
    bands = []
    for band in np.moveaxis(pixels, 2, 0):
        image = Image.fromarray(np.ascontiguousarray(band, np.uint8 if eight else np.float32))
        bands.append(np.asarray(image.resize(size, Image.Resampling.BILINEAR)))
    small = np.stack(bands, axis=2)
    return (small.round() if pixels.dtype.kind in "iu" else small).astype(pixels.dtype)


def encode_lossless(pixels: NDArray[Any]) -> tuple[bytes, str]:
    """The bytes of a lossless file, and its suffix."""
    file = io.BytesIO()
    if pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3):
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
        return file.getvalue(), ".png"
    np.save(file, pixels, allow_pickle=False)
    return file.getvalue(), ".npy"


def decode_lossless(path: Path, content: bytes, bands: int) -> NDArray[Any]:
    """Pixels ``(Y, X, bands)`` of what ``encoded`` gave, found at ``path``.

    Raises:
        DataError: it is something else.
    """
    with readable(path, "copy"):
        if path.suffix == ".npy":
            return load_array(path, io.BytesIO(content), len(content))
        with open_image(path, content) as image:
            return np.asarray(image).reshape(image.height, image.width, bands)
