"""Reading TIFFs: Pillow reads the plain ones, rasterio all others. Shapes: Y X pixels."""

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
SET_BANDS = (
    "set the number of bands: --set bands=N for check and prepare, --set data.bands=N for train; a trained model takes "
    "only images with the bands of its training"
)
NODATA_TAG = 42113  # GDAL's
MOST_PAGES = 64  # pages of a TIFF searched for a mask
NEW_SUBFILE, MASK_PAGE = 254, 4
ALPHA = (1, 2)  # values of ExtraSamples that mean alpha
SIGNED = 2
Depth = type[np.int16] | type[np.int32] | type[np.uint32]
DEPTHS: Mapping[tuple[int, int], Depth] = {(16, SIGNED): np.int16, (32, SIGNED): np.int32, (32, 1): np.uint32}


def for_pillow(path: Path, bands: int) -> bool:
    """Whether Pillow reads a TIFF without loss: 1, 3 or 4 bands, 8-bit colours, missing data marked by alpha only."""
    if bands not in PILLOW_MODES or path.with_name(f"{path.name}.msk").is_file():
        return False
    try:
        with open_image(path) as image:
            if not isinstance(image, TiffImageFile):  # a TIFF only by name
                return True
            return not holds_mask(image) and has_plain_bands(image, bands)
    except UnidentifiedImageError:
        return False


def has_plain_bands(image: TiffImageFile, bands: int) -> bool:
    """Whether converting a TIFF to ``bands`` bands loses nothing but colour and alpha."""
    tags = image.tag_v2
    samples, extra = tags.get(SAMPLESPERPIXEL, 1), tags.get(EXTRASAMPLES, ())
    is_deep = image.mode.startswith(("I", "F"))
    if not is_deep and (SIGNED in tags.get(SAMPLEFORMAT, ()) or max(tags.get(BITSPERSAMPLE, (1,))) > 8):
        return False  # Pillow would drop signs and depth
    if bands == 4:
        return samples < 4 or image.mode in ("RGBA", "CMYK")
    return image.mode == "CMYK" or samples - sum(kind in ALPHA for kind in extra) in (1, 3)


def holds_mask(image: TiffImageFile) -> bool:
    """Whether a TIFF marks pixels without data: by a value, or by a mask among its pages."""
    if NODATA_TAG in image.tag_v2:
        return True
    file, seen, offset = image.fp, set[int](), image.tag_v2.next
    assert file is not None
    start = file.tell()
    file.seek(0)
    head = file.read(8)
    head += file.read(8) if head[2:4] in (b"\x2b\0", b"\0\x2b") else b""  # BigTIFF has a longer header
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
    """Return the dtype of a gray TIFF of more than 8 bits, from its tags, where Pillow does not keep it."""
    if image.mode != "I" or not isinstance(image, TiffImageFile):
        return None
    return DEPTHS.get((image.tag_v2[BITSPERSAMPLE][0], image.tag_v2.get(SAMPLEFORMAT, (1,))[0]))


def is_opacity(alpha: NDArray[Any]) -> bool:
    """Whether most pixels are either clear or opaque."""
    most = np.iinfo(alpha.dtype).max if alpha.dtype.kind in "iu" else 1
    return bool(((alpha == 0) | (alpha == most)).mean() >= 0.5)


def require_opacity(path: Path, alpha: NDArray[Any], bands: int) -> None:
    """Check that a band marked as alpha is alpha: GDAL marks any fourth band of bytes so, even near infrared.

    Raises:
        DataError: most pixels are neither clear nor opaque.
    """
    if not is_opacity(alpha):
        raise DataError(
            f"{path}: has {bands} bands and one marked as alpha, whose values are not opacity; {SET_BANDS}, or "
            "save the file without that band"
        )


def read_raster(path: Path, bands: int | None = None) -> np.ma.MaskedArray[Any, Any]:
    """Read a file ``(bands, Y, X)`` with rasterio, masked where there is no data.

    An alpha band is an ordinary band if the file then has ``bands`` bands; otherwise it marks pixels without data, and
    so does ``NAME.tif.msk``. If ``bands`` is None, the band's values decide.

    Raises:
        DataError: it is missing, unreadable or too large, has another number of bands, or rasterio is not installed.
    """
    with open_raster(path) as file:
        kinds = zip(file.indexes, file.colorinterp, strict=True)
        alpha = [index for index, kind in kinds if kind.name == "alpha" and bands != file.count]
        if bands is None:
            alpha = [index for index in alpha if is_opacity(file.read(index))]
        kept = [index for index in file.indexes if index not in alpha]
        if bands is not None and len(kept) != bands:
            raise DataError(f"{path}: has {file.count} bands, expected {bands}; {SET_BANDS}")
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
    """Return where a band has no data ``(Y, X)``, by a value or a mask in the file; alpha is handled elsewhere."""
    flags = {flag.name for flag in file.mask_flag_enums[index - 1]}
    if flags & {"alpha", "all_valid"}:
        return np.zeros(file.shape, bool)
    return np.asarray(file.read_masks(index) == 0)


def read_beside(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return where a mask beside a file of ``shape`` ``(bands, Y, X)`` marks no data, per band or for all bands."""
    with open_raster(path) as file:
        if (file.height, file.width) != shape[1:] or file.count not in (1, shape[0]):
            raise DataError(f"{path}: is not a mask of the file beside it, which has another size; delete it")
        return np.asarray(file.read() == 0)
