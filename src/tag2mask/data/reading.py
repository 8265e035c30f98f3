"""Arrays from image files.

Shapes: Y X pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps
from PIL.ExifTags import Base
from PIL.Image import Image
from PIL.TiffImagePlugin import TiffImageFile

from tag2mask.data.opening import FORMATS, load_array, open_image, readable
from tag2mask.data.settings import DataSettings
from tag2mask.data.tiff import PILLOW_MODES, SET_BANDS, Depth, depth_of, for_pillow, read_raster, require_opacity
from tag2mask.errors import DataError

TIFF = frozenset({".tif", ".tiff"})
EPS = 1e-5
WIDE = frozenset({"int32", "uint32"})
NUMBERS = WIDE | {"uint8", "uint16", "int16", "float16", "float32", "float64"}


def read_scaled(path: Path, settings: DataSettings) -> NDArray[np.float32]:
    """Read an image ``(bands, Y, X)`` and scale its values to [0, 1] as the settings say.

    Raises:
        DataError: it is missing, unreadable or truncated, has another number of bands, or needs a clip.
    """
    return scale_values(path, read_image(path, settings.bands), settings)


def scale_values(path: Path, pixels: NDArray[Any], settings: DataSettings) -> NDArray[np.float32]:
    """Scale raw values ``(Y, X, bands)`` of the image ``path`` to ``(bands, Y, X)`` in [0, 1].

    Raises:
        DataError: the settings do not give the range of 32-bit integers.
    """
    require_scale(path, pixels, settings)
    image = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)).astype(np.float32)
    clips = settings.clips()
    if clips is not None:
        low, high = np.asarray(clips, np.float32).T[..., None, None]
        image = (image.clip(low, high) - low) / (high - low)
    elif pixels.dtype.kind in "iu":
        image /= np.iinfo(pixels.dtype).max
    if settings.scale == "maximum":
        image /= image.max((1, 2), keepdims=True).clip(0) + EPS
    return image


def require_scale(path: Path, pixels: NDArray[Any], settings: DataSettings) -> None:
    """Check that the settings give a range for 32-bit integers, which never span that of their dtype.

    Raises:
        DataError: they do not.
    """
    if pixels.dtype.name in WIDE and settings.clip is None and settings.scale == "range":
        raise DataError(
            f"{path}: holds {pixels.dtype.name}, whose full range is too wide to scale by; set the raw values that "
            "become 0 and 1: clip: [LOW, HIGH] in dataset.yaml, or --set data.clip=[LOW,HIGH]"
        )


def read_image(path: Path, bands: int, content: bytes | None = None) -> NDArray[Any]:
    """Read pixels ``(Y, X, bands)``, integers or floats, turned upright according to EXIF.

    Pixels without data get the mean of their band. ``content`` is an encoded image from inside another file; ``path``
    then only locates it.

    Raises:
        DataError: it is missing, unreadable or truncated, or has another number of bands.
    """
    pixels = read_pixels(path, bands, content)
    return fill_missing(path, pixels) if isinstance(pixels, np.ma.MaskedArray) else pixels


def read_pixels(path: Path, bands: int, content: bytes | None = None) -> NDArray[Any]:
    """Read like ``read_image``, but mask pixels without data: marked by a value, a mask or zero alpha."""
    with readable(path):
        return read_by_kind(path, bands, content)


def read_by_kind(path: Path, bands: int, content: bytes | None) -> NDArray[Any]:
    """Read pixels ``(Y, X, bands)`` with NumPy, Pillow or rasterio, depending on the file."""
    if content is None and path.suffix.lower() == ".npy":
        return read_array(path, bands)
    if content is None and not by_pillow(path, bands):
        return read_geotiff(path, bands)
    try:
        return read_by_pillow(path, bands, content)
    except (OSError, ValueError, SyntaxError):
        if content is not None or path.suffix.lower() not in TIFF or is_turned(path, bands):
            raise
    return read_geotiff(path, bands)  # Pillow lacks some of GDAL's codecs


def by_pillow(path: Path, bands: int) -> bool:
    """Whether Pillow reads a file: it is neither an array nor a TIFF that needs rasterio."""
    suffix = path.suffix.lower()
    return suffix != ".npy" and (suffix not in TIFF or for_pillow(path, bands))


def is_turned(path: Path, bands: int) -> bool:
    """Whether ``read_image`` turns or mirrors an image of ``bands`` bands according to EXIF.

    Raises:
        DataError: it cannot be read.
    """
    if not by_pillow(path, bands):
        return False
    with readable(path), open_image(path) as image:
        return image.getexif().get(Base.Orientation, 1) in range(2, 9)


def suffix_of(path: Path, content: bytes) -> str:
    """Return the file suffix of an encoded image from inside another file, by its format rather than its name.

    Raises:
        DataError: it is not an image, or in another format.
    """
    with readable(path), open_image(path, content) as image:
        return FORMATS[str(image.format)]


def fill_missing(path: Path, pixels: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
    """Fill pixels without data with the mean of the other pixels of their band.

    Raises:
        DataError: a band has no data at all.
    """
    missing = np.ma.getmaskarray(pixels)
    if not missing.any():
        return pixels.data
    if missing.all((0, 1)).any():
        raise DataError(f"{path}: a band has no data at all; remove the file from the lists")
    means = pixels.mean((0, 1), dtype=np.float64).astype(pixels.dtype)
    return np.where(missing, np.asarray(means), pixels.data)


def read_by_pillow(path: Path, bands: int, content: bytes | None) -> NDArray[Any]:
    """Read an image of 1, 3 or 4 bands, turned upright."""
    with open_image(path, content) as image:
        return from_pillow(path, image, bands)


def from_pillow(path: Path, image: Image, bands: int) -> NDArray[Any]:
    """Return pixels ``(Y, X, bands)`` of an image of 1, 3 or 4 bands, turned upright; masked where alpha is 0.

    Raises:
        DataError: it has another number of bands.
    """
    if bands not in PILLOW_MODES:
        raise DataError(f"{path}: {bands} bands can only be read from .npy, or from .tif with the extra geo")
    upright = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        return deep_gray(path, np.asarray(upright), depth_of(image), bands)
    if bands == 4 or not image.has_transparency_data:
        return np.asarray(upright.convert(PILLOW_MODES[bands])).reshape(upright.height, upright.width, bands)
    whole = upright.convert("RGBA")
    alpha = np.asarray(whole.getchannel("A"))
    if isinstance(image, TiffImageFile):
        require_opacity(path, alpha, bands)
    pixels = np.asarray(whole.convert(PILLOW_MODES[bands])).reshape(*alpha.shape, bands)
    return np.ma.MaskedArray(pixels, np.repeat(alpha[..., None] == 0, bands, 2)) if not alpha.all() else pixels


def deep_gray(path: Path, gray: NDArray[Any], depth: Depth | None, bands: int) -> NDArray[Any]:
    """Return a gray image of more than 8 bits, repeated over 1 or 3 bands."""
    if bands == 4:
        raise DataError(f"{path}: has 1 band, expected 4; {SET_BANDS}")
    if depth is not None:
        gray = gray.astype(depth)
    elif gray.dtype.kind != "f":
        if gray.min() < 0 or gray.max() > np.iinfo(np.uint16).max:
            raise DataError(
                f"{path}: holds values that do not fit in 16 bits; store it as uint16, or as floats in .npy"
            )
        gray = gray.astype(np.uint16)
    return np.repeat(require_usable_pixels(path, gray)[..., None], bands, axis=2)


def require_usable_pixels(path: Path, pixels: NDArray[Any]) -> NDArray[Any]:
    """Check that there are pixels, of a supported dtype and all finite.

    Raises:
        DataError: there are none, their dtype is not supported (such as int64), or some are not finite.
    """
    if pixels.dtype.name not in NUMBERS:
        raise DataError(f"{path}: holds {pixels.dtype.name}; store uint8, uint16, or floats between 0 and 1")
    if pixels.size == 0:
        raise DataError(f"{path}: has no pixels; replace it or remove it from the lists")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise DataError(f"{path}: holds values that are not finite; replace them, or remove it from the lists")
    return pixels


def read_array(path: Path, bands: int) -> NDArray[Any]:
    """Read an array ``(Y, X, bands)`` from ``.npy``."""
    with path.open("rb") as file:
        pixels = load_array(path, file, path.stat().st_size)
    if pixels.ndim != 3 or pixels.shape[2] != bands:
        raise DataError(f"{path}: has shape {pixels.shape}, expected (height, width, {bands}); {SET_BANDS}")
    return require_usable_pixels(path, pixels)


def read_geotiff(path: Path, bands: int) -> np.ma.MaskedArray[Any, Any]:
    """Read a TIFF of ``bands`` bands, masked where it has no data."""
    raster = read_raster(path, bands)
    pixels = np.ma.MaskedArray(np.moveaxis(raster.data, 0, 2), np.moveaxis(np.ma.getmaskarray(raster), 0, 2))
    require_usable_pixels(path, pixels.data[~np.ma.getmaskarray(pixels)])
    return pixels


def read_mask(path: Path, content: bytes | None = None) -> NDArray[np.int64]:
    """Read a label image ``(Y, X)`` from an indexed, gray or 16-bit PNG; ``content`` as in ``read_image``.

    Raises:
        DataError: it is missing, unreadable, or a colour image.
    """
    with readable(path, "mask"), open_image(path, content) as image:
        if image.mode not in ("P", "L", "1") and not image.mode.startswith("I"):
            raise DataError(f"{path}: is a colour image ({image.mode}); masks must be indexed or gray PNG")
        return np.asarray(image).astype(np.int64)
