"""Safe opening of image files: all pixels are read through this module.

Files are not trusted. Only the formats in ``FORMATS`` are decoded, whatever the file's name. A GeoTIFF is opened with
GDAL's GTiff driver and without the files beside it, since other drivers follow links and URLs. A file whose header
declares more than ``MOST_VALUES`` values is not read. Shapes: Y X pixels.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import (  # noqa: F401 - importing a plugin registers its format
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from tag2mask.data.stores import bring
from tag2mask.errors import DataError, Tag2MaskError
from tag2mask.files import regular

FORMATS: Mapping[str, str] = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "BMP": ".bmp",
    "WEBP": ".webp",
    "TIFF": ".tif",
}
READERS = [name for name in FORMATS if name != "MPO"]  # the JPEG reader opens MPO
MOST_VALUES = 2**29  # pixels times bands of a file; with three bands this is Pillow's own limit
MOST_HEADER = 10_000  # bytes of the header of an array
ARCHIVE = b"PK"
KINDS = "JPEG, PNG, BMP, WebP, TIFF"
INSTEAD = "replace it or remove it from the lists"


@contextmanager
def readable(path: Path, what: str = "image") -> Iterator[None]:
    """Turn any error while reading an image file into a ``DataError``: on damaged files decoders raise all kinds.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    try:
        bring(path)
        regular(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # Pillow continues, or raises an error
            yield
    except Tag2MaskError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: the {what} is missing") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: is not an image in a supported format ({KINDS}); {INSTEAD}") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path}: has more than {MOST_VALUES // 3} pixels; cut it into tiles") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason[:200]}); {INSTEAD}") from None


def open_image(path: Path, content: bytes | None = None) -> Image.Image:
    """Open an image file, or the encoded image ``content`` from inside another file; ``path`` then only locates it.

    Raises:
        DataError: it is too large.
        UnidentifiedImageError: it has another format.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MOST_VALUES is the limit
        image = Image.open(path if content is None else io.BytesIO(content), formats=READERS)
    require_size(path, image.width, image.height, 1)
    return image


@contextmanager
def open_raster(path: Path) -> Iterator[Any]:
    """Open a GeoTIFF with rasterio, without the files beside it.

    Raises:
        DataError: it is missing or not a GeoTIFF, or rasterio is not installed.
    """
    try:
        import rasterio
    except ImportError:
        raise DataError(f"{path}: needs rasterio to be read; install it with: pip install 'tag2mask[geo]'") from None
    with warnings.catch_warnings(), readable(path):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # no georeference is needed here
        if not path.exists():
            raise FileNotFoundError
        with (
            rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
            rasterio.open(path.absolute(), driver="GTiff") as file,
        ):
            yield file


def load_array(path: Path, file: IO[bytes], length: int) -> NDArray[Any]:
    """Load an array from a ``.npy`` file of ``length`` bytes, checking its header against that length first.

    Raises:
        DataError: it is an archive of arrays, or too large.
        ValueError: it is not an array, holds Python objects, or is truncated.
    """
    formats = np.lib.format
    if file.read(len(ARCHIVE)) == ARCHIVE:
        raise DataError(f"{path}: is an archive of arrays; store a single array (height, width, bands)")
    file.seek(0)
    version = formats.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format version {version[0]}.{version[1]} is not supported")
    header = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
    try:
        shape, _, dtype = header(file, max_header_size=MOST_HEADER)
    except (RecursionError, MemoryError):
        raise ValueError("its header is nested too deeply") from None
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not loaded")
    if min(shape, default=0) < 0:
        raise ValueError(f"its header says shape {shape}")
    require_size(path, *shape)
    there = length - file.tell()
    if math.prod(shape) * dtype.itemsize > there:
        raise ValueError(f"its header says shape {shape} of {dtype}, but only {there} bytes follow")
    file.seek(0)
    pixels: NDArray[Any] = np.load(file, allow_pickle=False, max_header_size=MOST_HEADER)
    return pixels


def require_size(path: Path, *shape: int) -> None:
    """Check that a shape has at most ``MOST_VALUES`` values.

    Raises:
        DataError: it has more.
    """
    if math.prod(shape) > MOST_VALUES:
        size = " x ".join(str(side)[:20] for side in shape[:4])
        raise DataError(f"{path}: is {size}, more than {MOST_VALUES} values; cut it into tiles")
