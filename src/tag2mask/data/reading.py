"""Files to arrays.

Shapes: Y X pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from tag2mask.data.settings import DataSettings
from tag2mask.errors import DataError

PILLOW_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
NUMBERS = frozenset({"uint8", "uint16", "int16", "float16", "float32", "float64"})


def read_scaled(path: Path, settings: DataSettings) -> NDArray[np.float32]:
    """A photograph ``(bands, Y, X)``: integers by their type's range to [0, 1], floats as they are.

    Raises:
        DataError: missing, unreadable, cut short, or of another number of bands.
    """
    pixels = read_image(path, settings.bands)
    image = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)).astype(np.float32)
    if pixels.dtype.kind in "iu":
        image /= np.iinfo(pixels.dtype).max
    return image


def read_image(path: Path, bands: int) -> NDArray[Any]:
    """Pixels ``(Y, X, bands)``, 8 or 16 bit integers or floats, turned upright as EXIF says.

    Raises:
        DataError: missing, unreadable, cut short, or of another number of bands.
    """
    try:
        if path.suffix.lower() == ".npy":
            return read_array(path, bands)
        if path.suffix.lower() in (".tif", ".tiff") and bands not in PILLOW_MODES:
            return read_geotiff(path, bands)
        with Image.open(path) as image:
            return pillow_pixels(path, ImageOps.exif_transpose(image), bands)
    except FileNotFoundError:
        raise DataError(f"{path}: the photograph is missing") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: is no image that can be read; replace it or take it out of the lists") from None
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read ({error}); replace it or take it out of the lists") from None


def pillow_pixels(path: Path, image: Image.Image, bands: int) -> NDArray[Any]:
    """An image of 1, 3 or 4 bands."""
    if bands not in PILLOW_MODES:
        raise DataError(f"{path}: {bands} bands are read from .npy, or from .tif with the extra geo")
    if image.mode.startswith(("I", "F")):
        return deep_gray(path, np.asarray(image), bands)
    return np.asarray(image.convert(PILLOW_MODES[bands])).reshape(image.height, image.width, bands)


def deep_gray(path: Path, gray: NDArray[Any], bands: int) -> NDArray[Any]:
    """A gray image of more than 8 bits, repeated over 1 or 3 bands."""
    if bands == 4:
        raise DataError(f"{path}: has 1 band, wanted 4; set data.bands")
    if gray.dtype.kind != "f":
        if gray.min() < 0 or gray.max() > np.iinfo(np.uint16).max:
            raise DataError(f"{path}: holds values outside 16 bits; store it as uint16, or as floats in .npy")
        gray = gray.astype(np.uint16)
    return np.repeat(usable(path, gray)[..., None], bands, axis=2)


def usable(path: Path, pixels: NDArray[Any]) -> NDArray[Any]:
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
    pixels = np.load(path, allow_pickle=False)
    if not isinstance(pixels, np.ndarray):
        raise DataError(f"{path}: is an archive of arrays; store one array, (height, width, {bands})")
    if pixels.ndim != 3 or pixels.shape[2] != bands:
        raise DataError(f"{path}: has shape {pixels.shape}, wanted (height, width, {bands}); set data.bands")
    return usable(path, pixels)


def read_geotiff(path: Path, bands: int) -> NDArray[Any]:
    """A TIFF of any number of bands, by rasterio."""
    try:
        import rasterio
    except ImportError:
        raise DataError(f"{path}: {bands} bands need the extra geo: pip install 'tag2mask[geo]'") from None
    try:
        with rasterio.open(path) as file:
            pixels = np.moveaxis(file.read(), 0, 2)
    except rasterio.errors.RasterioError as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    if pixels.shape[2] != bands:
        raise DataError(f"{path}: has {pixels.shape[2]} bands, wanted {bands}; set data.bands")
    return usable(path, pixels)


def read_mask(path: Path) -> NDArray[np.int64]:
    """A label image ``(Y, X)``: values of an indexed, gray or 16-bit PNG.

    Raises:
        DataError: missing, unreadable, or a colour image.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L", "1") and not image.mode.startswith("I"):
                raise DataError(f"{path}: is a colour image ({image.mode}); masks are indexed or gray PNG")
            return np.asarray(image).astype(np.int64)
    except FileNotFoundError:
        raise DataError(f"{path}: the mask is missing") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as a mask ({error})") from None
