"""Smaller copies of large images, kept below the data folder, each with the hash of its original.

::

    DATA/.cache/SIDE/NAME.png    8 bits, 1 or 3 bands; or NAME.npy
    DATA/.cache/SIDE/NAME.rec    JSON: its original and its own hash (the suffix is as short as an image's)

Each file is written atomically and its bytes do not depend on the writer, so workers need no lock. A pair that does not
match, or is damaged, is made again. Shapes: Y X pixels.
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
FORM = 1  # increased when the same image gives a different copy


@dataclass(frozen=True)
class Stamp:
    """A file's size and modification time; while both stay the same, the file is taken as unchanged."""

    size: int
    mtime_ns: int


@dataclass(frozen=True)
class CopyRecord:
    """How a copy was made, and from which file. ``photograph`` and ``copy`` are the files' SHA-256."""

    photograph: str
    stamp: Stamp
    copy: str
    suffix: str
    bands: int
    form: int


class SmallCopies:
    """The images of a data set, reduced to the short side ``side``; smaller ones are left as they are."""

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
        """Return pixels ``(Y, X, bands)`` of the copy, making it if there is none that matches.

        Raises:
            DataError: the image cannot be read, or the copy cannot be written.
        """
        stamp = stamp_of(sample.image)
        pixels = self.kept(sample, stamp)
        return self.make(sample, stamp) if pixels is None else pixels

    def kept(self, sample: Sample, stamp: Stamp) -> NDArray[Any] | None:
        """Return the copy if it exists, is undamaged and matches this image, else None."""
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
        except DataError:  # a copy that came with the data may hold anything
            return None
        fits = pixels.ndim == 3 and pixels.shape[2] == self.bands and min(pixels.shape[:2]) == self.side
        return pixels if fits and pixels.dtype.kind in "iuf" else None

    def make(self, sample: Sample, stamp: Stamp) -> NDArray[Any]:
        """Read the image, and store a copy if the image is larger than one."""
        photograph = file_sha256(sample.image)  # before its pixels: if the file changes in between, the hash differs
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
        """Write a copy's record."""
        self.write(self.folder / f"{sample.name}.rec", (json.dumps(asdict(record), indent=2) + "\n").encode())

    def write(self, path: Path, content: bytes) -> None:
        """Write a file atomically."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content, writer=str(os.getpid()))
        except OSError as error:
            raise self.unwritable(error) from None

    def unwritable(self, error: OSError) -> DataError:
        """Return the error for a folder that cannot be written."""
        return DataError(
            f"{self.folder}: cannot be written ({error.strerror}); data.cache keeps smaller copies of the images "
            "there: make it writable, or do not set data.cache"
        )


def stamp_of(path: Path) -> Stamp:
    """Return an image's size and modification time.

    Raises:
        DataError: it is missing.
    """
    try:
        found = path.stat()
    except OSError:
        raise DataError(f"{path}: the image is missing") from None
    return Stamp(found.st_size, found.st_mtime_ns)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of an image's bytes.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return file_hash(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None


def read_record(path: Path) -> CopyRecord | None:
    """Return a copy's record, or None if the file is missing or damaged."""
    try:
        content = from_json(path.read_bytes())
        return CopyRecord(**{**content, "stamp": Stamp(**content["stamp"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def shrunk(pixels: NDArray[Any], side: int) -> NDArray[Any]:
    """Reduce pixels ``(Y, X, bands)`` to the short side ``side``; the dtype stays.

    Uses Pillow's triangle filter over all pixels that a new one covers. For 8 bits it computes in integers, so the
    result is the same on every machine; it never leaves the range of the averaged values.
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
    """Return pixels as the bytes of a lossless file, and its suffix."""
    file = io.BytesIO()
    if pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3):
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
        return file.getvalue(), ".png"
    np.save(file, pixels, allow_pickle=False)
    return file.getvalue(), ".npy"


def decode_lossless(path: Path, content: bytes, bands: int) -> NDArray[Any]:
    """Return the pixels ``(Y, X, bands)`` that ``encode_lossless`` stored at ``path``.

    Raises:
        DataError: the content is something else.
    """
    with readable(path, "copy"):
        if path.suffix == ".npy":
            return load_array(path, io.BytesIO(content), len(content))
        with open_image(path, content) as image:
            return np.asarray(image).reshape(image.height, image.width, bands)
