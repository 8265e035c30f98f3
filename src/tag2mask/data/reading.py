"""Files to arrays.

Shapes: Y X pixels.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

from tag2mask.data.settings import DataSettings
from tag2mask.errors import DataError
from tag2mask.files import regular

PILLOW_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
TIFF = frozenset({".tif", ".tiff"})
SET_BANDS = "say how many it has: --set bands=N in check and prepare, --set data.bands=N in train"
NODATA_TAG = 42113  # GDAL's
EPS = 1e-5
EMBEDDED = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "BMP": ".bmp", "WEBP": ".webp", "TIFF": ".tif"}
NUMBERS = frozenset({"uint8", "uint16", "int16", "float16", "float32", "float64"})


def read_scaled(path: Path, settings: DataSettings) -> NDArray[np.float32]:
    """A photograph ``(bands, Y, X)``, its values brought to [0, 1] as the settings say.

    Raises:
        DataError: missing, unreadable, cut short, or of another number of bands.
    """
    return scaled(read_image(path, settings.bands), settings)


def scaled(pixels: NDArray[Any], settings: DataSettings) -> NDArray[np.float32]:
    """Raw values ``(Y, X, bands)`` as ``(bands, Y, X)`` in [0, 1]."""
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


def read_image(path: Path, bands: int, content: bytes | None = None) -> NDArray[Any]:
    """Pixels ``(Y, X, bands)``, 8 or 16 bit integers or floats, turned upright as EXIF says.

    Pixels without data have the mean of their band. ``content`` is a photograph inside another file; ``path`` then
    only says where.

    Raises:
        DataError: missing, unreadable, cut short, or of another number of bands.
    """
    pixels = read_pixels(path, bands, content)
    return filled(path, pixels) if isinstance(pixels, np.ma.MaskedArray) else pixels


def read_pixels(path: Path, bands: int, content: bytes | None = None) -> NDArray[Any]:
    """The same, masked where a GeoTIFF says that there is no data."""
    with readable(path):
        if content is not None or by_pillow(path, bands):
            with open_image(path, content) as image:
                return pillow_pixels(path, ImageOps.exif_transpose(image), bands)
        return read_array(path, bands) if path.suffix.lower() == ".npy" else read_geotiff(path, bands)


def by_pillow(path: Path, bands: int) -> bool:
    """Whether a file is neither an array nor a GeoTIFF that needs rasterio."""
    suffix = path.suffix.lower()
    return suffix != ".npy" and (suffix not in TIFF or for_pillow(path, bands))


def is_turned(path: Path, bands: int) -> bool:
    """Whether ``read_image`` turns or mirrors a photograph of that many bands, as EXIF says.

    Raises:
        DataError: it cannot be read.
    """
    if not by_pillow(path, bands):
        return False
    with readable(path), Image.open(path) as image:
        return image.getexif().get(Base.Orientation, 1) in range(2, 9)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What goes wrong with a photograph, in our words."""
    try:
        regular(path)
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: the photograph is missing") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: is no image that can be read; replace it or take it out of the lists") from None
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read ({error}); replace it or take it out of the lists") from None


def open_image(path: Path, content: bytes | None) -> Image.Image:
    """A file, or an image inside another one.

    Raises:
        DataError: the latter is of a format that a folder of photographs cannot hold.
    """
    if content is None:
        return Image.open(path)
    image = Image.open(io.BytesIO(content))
    if image.format not in EMBEDDED:
        raise DataError(f"{path}: is {image.format}; wanted {', '.join(EMBEDDED)}")
    return image


def suffix_of(path: Path, content: bytes) -> str:
    """What a photograph inside another file, at ``path``, is called as a file: its own name may lie.

    Raises:
        DataError: it is no image, or of another format.
    """
    with readable(path), open_image(path, content) as image:
        return EMBEDDED[str(image.format)]


def for_pillow(path: Path, bands: int) -> bool:
    """Whether Pillow can read a TIFF: 1, 3 or 4 bands, no deep colours, no mark for missing data."""
    if bands not in PILLOW_MODES:
        return False
    try:
        with Image.open(path) as image:
            return NODATA_TAG not in image.getexif()
    except UnidentifiedImageError:
        return False


def filled(path: Path, pixels: np.ma.MaskedArray[Any, Any]) -> NDArray[Any]:
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
        raise DataError(f"{path}: has 1 band, wanted 4; {SET_BANDS}")
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
        raise DataError(f"{path}: has shape {pixels.shape}, wanted (height, width, {bands}); {SET_BANDS}")
    return usable(path, pixels)


def read_geotiff(path: Path, bands: int) -> np.ma.MaskedArray[Any, Any]:
    """A TIFF of that many bands, masked where it says that there is no data."""
    raster = read_raster(path)
    if len(raster) != bands:
        raise DataError(f"{path}: has {len(raster)} bands, wanted {bands}; {SET_BANDS}")
    pixels = np.ma.MaskedArray(np.moveaxis(raster.data, 0, 2), np.moveaxis(np.ma.getmaskarray(raster), 0, 2))
    usable(path, pixels.data[~np.ma.getmaskarray(pixels)])
    return pixels


def read_raster(path: Path) -> np.ma.MaskedArray[Any, Any]:
    """All that rasterio finds in a file, ``(bands, Y, X)``, masked where there is no data.

    Raises:
        DataError: missing, unreadable, or rasterio is not installed.
    """
    try:
        import rasterio
    except ImportError:
        raise DataError(f"{path}: Pillow cannot read it; install the extra geo: pip install 'tag2mask[geo]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # a place is not needed here
            with rasterio.open(path) as file:
                raster: np.ma.MaskedArray[Any, Any] = file.read(masked=True)
                return raster
    except rasterio.errors.RasterioError as error:
        raise DataError(f"{path}: cannot be read ({error}); replace it or take it out of the lists") from None


def read_mask(path: Path, content: bytes | None = None) -> NDArray[np.int64]:
    """A label image ``(Y, X)``: values of an indexed, gray or 16-bit PNG; ``content`` as in ``read_image``.

    Raises:
        DataError: missing, unreadable, or a colour image.
    """
    try:
        with open_image(regular(path), content) as image:
            if image.mode not in ("P", "L", "1") and not image.mode.startswith("I"):
                raise DataError(f"{path}: is a colour image ({image.mode}); masks are indexed or gray PNG")
            return np.asarray(image).astype(np.int64)
    except FileNotFoundError:
        raise DataError(f"{path}: the mask is missing") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as a mask ({error})") from None
