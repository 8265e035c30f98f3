"""Files to arrays.

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
    """An image ``(bands, Y, X)``, its values brought to [0, 1] as the settings say.

    Raises:
        DataError: missing, unreadable, cut short, of another number of bands, or without a scale.
    """
    return scale_values(path, read_image(path, settings.bands), settings)


def scale_values(path: Path, pixels: NDArray[Any], settings: DataSettings) -> NDArray[np.float32]:
    """Raw values ``(Y, X, bands)`` of the image ``path`` as ``(bands, Y, X)`` in [0, 1].

    Raises:
        DataError: the settings do not say what the values' scale is.
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
    """Integers of 32 bits never fill their range, so somebody has to say what they do fill.

    Raises:
        DataError: nobody does.
    """
    if pixels.dtype.name in WIDE and settings.clip is None and settings.scale == "range":
        raise DataError(
            f"{path}: holds {pixels.dtype.name}, whose whole range would leave nothing of the values; say which raw "
            "values become 0 and 1: clip: [LOW, HIGH] in dataset.yaml, or --set data.clip=[LOW,HIGH]"
        )


def read_image(path: Path, bands: int, content: bytes | None = None) -> NDArray[Any]:
    """Pixels ``(Y, X, bands)``, 8 or 16 bit integers or floats, turned upright as EXIF says.

    Pixels without data have the mean of their band. ``content`` is an image inside another file; ``path`` then
    only says where.

    Raises:
        DataError: missing, unreadable, cut short, or of another number of bands.
    """
    pixels = read_pixels(path, bands, content)
    return fill_missing(path, pixels) if isinstance(pixels, np.ma.MaskedArray) else pixels


def read_pixels(path: Path, bands: int, content: bytes | None = None) -> NDArray[Any]:
    """The same, masked where a file says that there is no data: by a value, a mask, or alpha that lets all through."""
    with readable(path):
        return read_by_kind(path, bands, content)


def read_by_kind(path: Path, bands: int, content: bytes | None) -> NDArray[Any]:
    """Pixels ``(Y, X, bands)`` by whoever reads such a file."""
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
    """Whether a file is neither an array nor a GeoTIFF that needs rasterio."""
    suffix = path.suffix.lower()
    return suffix != ".npy" and (suffix not in TIFF or for_pillow(path, bands))


def is_turned(path: Path, bands: int) -> bool:
    """Whether ``read_image`` turns or mirrors an image of that many bands, as EXIF says.

    Raises:
        DataError: it cannot be read.
    """
    if not by_pillow(path, bands):
        return False
    with readable(path), open_image(path) as image:
        return image.getexif().get(Base.Orientation, 1) in range(2, 9)


def suffix_of(path: Path, content: bytes) -> str:
    """What an image inside another file, at ``path``, is called as a file: its own name may lie.

    Raises:
        DataError: it is no image, or of another format.
    """
    with readable(path), open_image(path, content) as image:
        return FORMATS[str(image.format)]


def fill_missing(path: Path, pixels: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
    """Pixels without data as the mean of the others of their band.

    Raises:
        DataError: a band has no data at all.
    """
    missing = np.ma.getmaskarray(pixels)
    if not missing.any():
        return pixels.data
    if missing.all((0, 1)).any():
        raise DataError(f"{path}: a band has no data at all; take the file out of the lists")
    means = pixels.mean((0, 1), dtype=np.float64).astype(pixels.dtype)
    return np.where(missing, np.asarray(means), pixels.data)


def read_by_pillow(path: Path, bands: int, content: bytes | None) -> NDArray[Any]:
    """An image of 1, 3 or 4 bands, turned upright."""
    with open_image(path, content) as image:
        return from_pillow(path, image, bands)


def from_pillow(path: Path, image: Image, bands: int) -> NDArray[Any]:
    """Pixels ``(Y, X, bands)`` of an image of 1, 3 or 4 bands, turned upright; masked where alpha lets all through.

    Raises:
        DataError: it has another number of bands.
    """
    if bands not in PILLOW_MODES:
        raise DataError(f"{path}: {bands} bands are read from .npy, or from .tif with the extra geo")
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
    """A gray image of more than 8 bits, repeated over 1 or 3 bands."""
    if bands == 4:
        raise DataError(f"{path}: has 1 band, wanted 4; {SET_BANDS}")
    if depth is not None:
        gray = gray.astype(depth)
    elif gray.dtype.kind != "f":
        if gray.min() < 0 or gray.max() > np.iinfo(np.uint16).max:
            raise DataError(f"{path}: holds values outside 16 bits; store it as uint16, or as floats in .npy")
        gray = gray.astype(np.uint16)
    return np.repeat(require_usable_pixels(path, gray)[..., None], bands, axis=2)


def require_usable_pixels(path: Path, pixels: NDArray[Any]) -> NDArray[Any]:
    """Pixels whose scale is plain from their type, all of them finite.

    Raises:
        DataError: none, of a type without a scale (int64), or not finite.
    """
    if pixels.dtype.name not in NUMBERS:
        raise DataError(f"{path}: holds {pixels.dtype.name}; store uint8, uint16, or floats between 0 and 1")
    if pixels.size == 0:
        raise DataError(f"{path}: has no pixels; replace it or take it out of the lists")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise DataError(f"{path}: holds values that are not finite; fill them in or take it out of the lists")
    return pixels


def read_array(path: Path, bands: int) -> NDArray[Any]:
    """An array ``(Y, X, bands)`` of numbers."""
    with path.open("rb") as file:
        pixels = load_array(path, file, path.stat().st_size)
    if pixels.ndim != 3 or pixels.shape[2] != bands:
        raise DataError(f"{path}: has shape {pixels.shape}, wanted (height, width, {bands}); {SET_BANDS}")
    return require_usable_pixels(path, pixels)


def read_geotiff(path: Path, bands: int) -> np.ma.MaskedArray[Any, Any]:
    """A TIFF of that many bands, masked where it says that there is no data."""
    raster = read_raster(path, bands)
    pixels = np.ma.MaskedArray(np.moveaxis(raster.data, 0, 2), np.moveaxis(np.ma.getmaskarray(raster), 0, 2))
    require_usable_pixels(path, pixels.data[~np.ma.getmaskarray(pixels)])
    return pixels


def read_mask(path: Path, content: bytes | None = None) -> NDArray[np.int64]:
    """A label image ``(Y, X)``: values of an indexed, gray or 16-bit PNG; ``content`` as in ``read_image``.

    Raises:
        DataError: missing, unreadable, or a colour image.
    """
    with readable(path, "mask"), open_image(path, content) as image:
        if image.mode not in ("P", "L", "1") and not image.mode.startswith("I"):
            raise DataError(f"{path}: is a colour image ({image.mode}); masks are indexed or gray PNG")
        return np.asarray(image).astype(np.int64)
