"""The one door for files that hold pixels: which formats are opened, how large, and by what.

Files come from anywhere. Only the formats in ``FORMATS`` are decoded, whatever a name says. A GeoTIFF is opened by
GDAL's own driver for it and without the files beside it, since other drivers follow links and addresses. Nothing is
read that says of itself that it is larger than ``MOST_VALUES``. Shapes: Y X pixels.
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
from PIL import (  # noqa: F401 - the import of a plugin makes its format known
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from tag2mask.errors import DataError
from tag2mask.files import regular

FORMATS: Mapping[str, str] = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "BMP": ".bmp",
    "WEBP": ".webp",
    "TIFF": ".tif",
}
READERS = [name for name in FORMATS if name != "MPO"]  # which is JPEG's
MOST_VALUES = 2**29  # pixels times bands of a file; for three bands Pillow's own limit
MOST_HEADER = 10_000  # bytes that describe an array
ARCHIVE = b"PK"
KINDS = "JPEG, PNG, BMP, WebP, TIFF"
INSTEAD = "replace it or take it out of the lists"


@contextmanager
def readable(path: Path, what: str = "image") -> Iterator[None]:
    """What goes wrong with a file of pixels, in our words: a damaged one can end a decoder in any of Python's errors.

    Raises:
        DataError: something did.
    """
    try:
        regular(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # it reads on, or an error follows
            yield
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: the {what} is missing") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: is no image that can be read ({KINDS} can); {INSTEAD}") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path}: has more than {MOST_VALUES // 3} pixels; cut it into tiles") from None
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason[:200]}); {INSTEAD}") from None


def open_image(path: Path, content: bytes | None = None) -> Image.Image:
    """A file, or an image inside another one, ``content``; ``path`` then only says where.

    Raises:
        DataError: it is of another format, or too large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MOST_VALUES is the limit
        image = Image.open(path if content is None else io.BytesIO(content), formats=READERS)
    require_size(path, image.width, image.height, 1)
    return image


@contextmanager
def open_raster(path: Path) -> Iterator[Any]:
    """A GeoTIFF, as rasterio opens it, without the files beside it.

    Raises:
        DataError: missing, none, or rasterio is not installed.
    """
    try:
        import rasterio
    except ImportError:
        raise DataError(f"{path}: Pillow cannot read it; install the extra geo: pip install 'tag2mask[geo]'") from None
    with warnings.catch_warnings(), readable(path):
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # a place is not needed here
        if not path.exists():
            raise FileNotFoundError
        with (
            rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
            rasterio.open(path.absolute(), driver="GTiff") as file,
        ):
            yield file


def load_array(path: Path, file: IO[bytes], length: int) -> NDArray[Any]:
    """An array from a ``.npy`` file of ``length`` bytes. Its header is believed only as far as the file reaches.

    Raises:
        DataError: an archive, or an array of objects, that is cut short, or too large.
        ValueError: no array.
    """
    formats = np.lib.format
    if file.read(len(ARCHIVE)) == ARCHIVE:
        raise DataError(f"{path}: is an archive of arrays; store one array, (height, width, bands)")
    file.seek(0)
    version = formats.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} of the format")
    header = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
    try:
        shape, _, dtype = header(file, max_header_size=MOST_HEADER)
    except (RecursionError, MemoryError):
        raise ValueError("its header is nested too deeply") from None
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    if min(shape, default=0) < 0:
        raise ValueError(f"its header says shape {shape}")
    require_size(path, *shape)
    there = length - file.tell()
    if math.prod(shape) * dtype.itemsize > there:
        raise ValueError(f"its header says shape {shape} of {dtype}, and only {there} bytes follow")
    file.seek(0)
    pixels: NDArray[Any] = np.load(file, allow_pickle=False, max_header_size=MOST_HEADER)
    return pixels


def require_size(path: Path, *shape: int) -> None:
    """No more values than are read at once.

    Raises:
        DataError: there are.
    """
    if math.prod(shape) > MOST_VALUES:
        size = " x ".join(str(side)[:20] for side in shape[:4])
        raise DataError(f"{path}: is {size}, more than {MOST_VALUES} values; cut it into tiles")
