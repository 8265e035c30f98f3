"""Images and masks as PNG and JPEG for the browser.

Shapes: Y X pixels.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from tag2mask.data import Classes, DataSettings
from tag2mask.data.opening import open_image, readable
from tag2mask.errors import DataError
from tag2mask.masks.overlay import Picture, read_picture
from tag2mask.masks.packed import File
from tag2mask.masks.paint import Labels

THUMB = 192  # pixels on the longer side of a thumbnail
JPEGS = frozenset({".jpg", ".jpeg"})
PLAIN = JPEGS | {".png", ".bmp", ".webp"}
QUARTER_TURNS = range(5, 9)  # values of EXIF's orientation that swap height and width

Size = tuple[int, int]  # height and width


def mask_size(file: File) -> Size:
    """Height and width of a label image, from its header.

    Raises:
        DataError: it is missing or not an image.
    """
    path, content = (file, None) if isinstance(file, Path) else (Path(str(file)), file.read())
    with readable(path, "mask"), open_image(path, content) as image:
        return image.height, image.width


def image_size(path: Path, settings: DataSettings) -> Size:
    """Height and width of an image as it is read, from its header where that is enough.

    Raises:
        DataError: it cannot be read.
    """
    if path.suffix.lower() in PLAIN:
        with readable(path), open_image(path) as image:
            turned = image.getexif().get(Base.Orientation, 1) in QUARTER_TURNS
            return (image.width, image.height) if turned else (image.height, image.width)
    height, width = read_picture(path, settings).shape[:2]
    return height, width


def thumb_size(size: Size) -> Size:
    """Height and width of the thumbnail of an image of this size."""
    scale = min(THUMB / max(size), 1.0)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def thumb_jpeg(path: Path, settings: DataSettings, size: Size) -> bytes:
    """Encode a thumbnail of an image whose mask has this size.

    Raises:
        DataError: the image cannot be read.
    """
    height, width = thumb_size(size)
    plain = path.suffix.lower() in JPEGS and settings.bands == 3 and settings.rgb is None
    image = small_jpeg(path) if plain else Image.fromarray(read_picture(path, settings))
    return jpeg(image.resize((width, height), Image.Resampling.BOX, reducing_gap=2.0), 80)


def small_jpeg(path: Path) -> Image.Image:
    """Decode a JPEG at about twice the size of a thumbnail, which is several times as fast."""
    with readable(path), open_image(path) as image:
        image.draft("RGB", (2 * THUMB, 2 * THUMB))
        return ImageOps.exif_transpose(image).convert("RGB")


def picture_jpeg(path: Path, settings: DataSettings, size: Size) -> bytes:
    """Encode an image at the size of its mask.

    Raises:
        DataError: the image cannot be read.
    """
    return jpeg(Image.fromarray(picture_of_size(path, settings, size)), 92)


def picture_of_size(path: Path, settings: DataSettings, size: Size) -> Picture:
    """Read an image for display at the size of its mask, ``(Y, X, 3)``."""
    picture = read_picture(path, settings)
    if picture.shape[:2] == size:
        return picture
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def jpeg(image: Image.Image, quality: int) -> bytes:
    """Encode as JPEG."""
    content = BytesIO()
    image.save(content, "JPEG", quality=quality)
    return content.getvalue()


def png(pixels: NDArray[Any]) -> bytes:
    """Encode gray or colour pixels as PNG, quickly rather than small."""
    content = BytesIO()
    Image.fromarray(pixels).save(content, "PNG", compress_level=1)
    return content.getvalue()


def labels_png(labels: Labels, classes: Classes) -> bytes:
    """Encode a label image as gray PNG: 8 bits, or 16 above 254 classes."""
    return png(labels.astype(np.uint8 if classes.ignore == 255 else np.uint16))


def thumb_mask_png(labels: Labels, classes: Classes) -> bytes:
    """Encode a thumbnail of a label image in the classes' colours, transparent where there is no class."""
    height, width = thumb_size((labels.shape[0], labels.shape[1]))
    rows = (np.arange(height) * labels.shape[0] + labels.shape[0] // 2) // height
    columns = (np.arange(width) * labels.shape[1] + labels.shape[1] // 2) // width
    small = labels[np.minimum(rows, labels.shape[0] - 1)[:, None], np.minimum(columns, labels.shape[1] - 1)]
    colours = see_through(classes)
    return png(colours[np.minimum(small, len(colours) - 1)])


@lru_cache(2)
def see_through(classes: Classes) -> Picture:
    """Return the colours of the classes with alpha, which is 0 for the background and for the last, ignore."""
    colours = np.zeros((len(classes.pixel_names) + 1, 4), np.uint8)
    colours[:-1, :3], colours[:-1, 3] = classes.colours(len(classes.pixel_names)), 255
    if classes.background is not None:
        colours[0, 3] = 0
    return colours


def read_labels_png(content: bytes, size: Size, what: str) -> Labels:
    """Decode a gray or indexed PNG ``(Y, X)`` from the browser, after checking that it has this size.

    Raises:
        DataError: it is not such a PNG.
    """
    name = Path(what)
    with readable(name, what), open_image(name, content) as image:
        if image.format != "PNG" or (image.mode not in ("L", "P", "1") and not image.mode.startswith("I")):
            raise DataError(f"{what}: expected a gray PNG")
        if (image.height, image.width) != size:
            raise DataError(f"{what}: is {image.width} x {image.height} pixels, but the image is {size[1]} x {size[0]}")
        return np.asarray(image).astype(np.int64)
