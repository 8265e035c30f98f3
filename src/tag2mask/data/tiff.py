"""TIFFs: which of them Pillow reads as they are, and what rasterio finds in the others. Shapes: Y X pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    EXTRASAMPLES,
    SAMPLEFORMAT,
    SAMPLESPERPIXEL,
    ImageFileDirectory_v2,
    TiffImageFile,
)

from tag2mask.data.opening import open_image, open_raster, require_size
from tag2mask.errors import DataError

PILLOW_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
SET_BANDS = "say how many it has: --set bands=N in check and prepare, --set data.bands=N in train"
NODATA_TAG = 42113  # GDAL's
MOST_PAGES = 64  # of a TIFF, looked at for a mask
NEW_SUBFILE, MASK_PAGE = 254, 4
ALPHA = (1, 2)  # kinds of a TIFF's further bands
SIGNED = 2
Depth = type[np.int16] | type[np.int32] | type[np.uint32]
DEPTHS: Mapping[tuple[int, int], Depth] = {(16, SIGNED): np.int16, (32, SIGNED): np.int32, (32, 1): np.uint32}


def for_pillow(path: Path, bands: int) -> bool:
    """Whether Pillow reads a TIFF as it is: 1, 3 or 4 bands, no deep colours, no mark for missing data but alpha."""
    if bands not in PILLOW_MODES or path.with_name(f"{path.name}.msk").is_file():
        return False
    try:
        with open_image(path) as image:
            if not isinstance(image, TiffImageFile):  # by its name alone
                return True
            return not holds_mask(image) and has_plain_bands(image, bands)
    except UnidentifiedImageError:
        return False


def has_plain_bands(image: TiffImageFile, bands: int) -> bool:
    """Whether converting a TIFF to so many bands loses nothing but colour and alpha."""
    tags = image.tag_v2
    samples, extra = tags.get(SAMPLESPERPIXEL, 1), tags.get(EXTRASAMPLES, ())
    is_deep = image.mode.startswith(("I", "F"))
    if not is_deep and (SIGNED in tags.get(SAMPLEFORMAT, ()) or max(tags.get(BITSPERSAMPLE, (1,))) > 8):
        return False  # Pillow would take signs and depth away
    if bands == 4:
        return samples < 4 or image.mode in ("RGBA", "CMYK")
    return image.mode == "CMYK" or samples - sum(kind in ALPHA for kind in extra) in (1, 3)


def holds_mask(image: TiffImageFile) -> bool:
    """Whether a TIFF says which pixels have no data: by a value, or by a mask among its pages."""
    if NODATA_TAG in image.tag_v2:
        return True
    file, seen, offset = image.fp, set[int](), image.tag_v2.next
    assert file is not None
    start = file.tell()
    file.seek(0)
    head = file.read(8)
    head += file.read(8) if head[2:4] in (b"\x2b\0", b"\0\x2b") else b""  # BigTIFF's is longer
    while offset and offset not in seen and len(seen) < MOST_PAGES:
        seen.add(offset)
        page = ImageFileDirectory_v2(head)
        file.seek(offset)
        page.load(file)
        if page.get(NEW_SUBFILE, 0) & MASK_PAGE:
            break
        offset = page.next
    else:
        file.seek(start)
        return False
    file.seek(start)
    return True


def depth_of(image: Image.Image) -> Depth | None:
    """The type of a deep gray TIFF's pixels, by bits and format of its samples, where Pillow does not keep it."""
    if image.mode != "I" or not isinstance(image, TiffImageFile):
        return None
    return DEPTHS.get((image.tag_v2[BITSPERSAMPLE][0], image.tag_v2.get(SAMPLEFORMAT, (1,))[0]))


def is_opacity(alpha: NDArray[Any]) -> bool:
    """Whether most pixels are either clear or opaque."""
    most = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1
    return bool(((alpha == 0) | (alpha == most)).mean() >= 0.5)


def require_opacity(path: Path, alpha: NDArray[Any], bands: int) -> None:
    """A TIFF's last band is alpha, as it says: GDAL says so of any fourth band of bytes, near infrared too.

    Raises:
        DataError: most pixels are neither clear nor opaque.
    """
    if not is_opacity(alpha):
        raise DataError(
            f"{path}: has a band beside {bands} that is marked as alpha and holds other values; {SET_BANDS}, or "
            "save the file without that band"
        )


def read_raster(path: Path, bands: int | None = None) -> np.ma.MaskedArray[Any, Any]:
    """What rasterio finds in a file, ``(bands, Y, X)``, masked where there is no data.

    A band of alpha is one of the ``bands``, or else says where there is none; ``NAME.tif.msk`` says it too. Without
    ``bands`` it is what its values look like.

    Raises:
        DataError: missing, unreadable, too large, of another number of bands, or rasterio is not installed.
    """
    with open_raster(path) as file:
        kinds = zip(file.indexes, file.colorinterp, strict=True)
        alpha = [index for index, kind in kinds if kind.name == "alpha" and bands != file.count]
        if bands is None:
            alpha = [index for index in alpha if is_opacity(file.read(index))]
        kept = [index for index in file.indexes if index not in alpha]
        if bands is not None and len(kept) != bands:
            raise DataError(f"{path}: has {file.count} bands, wanted {bands}; {SET_BANDS}")
        require_size(path, file.width, file.height, file.count)
        pixels = file.read(kept)
        missing = np.stack([missing_of(file, index) for index in kept])
        for index in alpha:
            opacity = file.read(index)
            require_opacity(path, opacity, len(kept))
            missing |= opacity == 0
    beside = path.with_name(f"{path.name}.msk")
    if beside.is_file():
        missing |= read_beside(beside, pixels.shape)
    return np.ma.MaskedArray(pixels, missing)


def missing_of(file: Any, index: int) -> NDArray[np.bool_]:
    """Where a band has no data by its value or by a mask inside the file, ``(Y, X)``; alpha is another matter."""
    flags = {flag.name for flag in file.mask_flag_enums[index - 1]}
    if flags & {"alpha", "all_valid"}:
        return np.zeros(file.shape, bool)
    return np.asarray(file.read_masks(index) == 0)


def read_beside(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where a mask beside a file of ``shape`` ``(bands, Y, X)`` says that there is no data, for each band or all."""
    with open_raster(path) as file:
        if (file.height, file.width) != shape[1:] or file.count not in (1, shape[0]):
            raise DataError(f"{path}: is no mask of the file beside it, which has another size; delete it")
        return np.asarray(file.read() == 0)
