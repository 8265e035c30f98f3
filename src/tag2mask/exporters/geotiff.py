"""GeoTIFF masks with the georeference of their source images."""

from __future__ import annotations

import json
import os
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from tag2mask.data import Classes
from tag2mask.data.geotiff import encode_geotiff
from tag2mask.data.opening import open_image, readable
from tag2mask.data.reading import is_turned
from tag2mask.data.tiff import read_raster
from tag2mask.errors import DataError
from tag2mask.exporters.label_images import LabelImage
from tag2mask.masks.write import MaskSet

DRIVERS = {"JPEG": "JPEG", "MPO": "JPEG", "PNG": "PNG", "BMP": "BMP", "WEBP": "WEBP"}  # others follow links and URLs
LONGEST_NAME = 255  # in bytes, on most file systems


def write_geotiffs(path: Path, mask_set: MaskSet, label_images: Iterable[LabelImage]) -> Counter[str]:
    """Write all masks as ``NAME.tif`` with the source's CRS and transform or GCPs, and nodata = ignore.

    8-bit masks have the palette. The names of the classes are in the band's tag ``classes``, and as GDAL's category
    names in ``NAME.tif.aux.xml``. Where the source has no data, the mask is nodata, whatever was painted there.

    Raises:
        DataError: a source image is missing, unreadable or of another size, or has both a georeference and an EXIF
            rotation.
    """
    from rasterio.errors import NotGeoreferencedWarning

    classes = mask_set.classes
    counts = Counter(without_crs=0, pixels_without_data=0)
    dtype = np.uint8 if classes.ignore == 255 else np.uint16
    colours = dict(enumerate(map(tuple, classes.palette().tolist()))) if dtype is np.uint8 else None
    names = {"classes": json.dumps(classes.pixel_names)}
    for image in label_images:
        file = path / f"{image.name}.tif"
        file.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # counted instead
            place, missing = read_source_place(image)
            labels = np.where(missing, classes.ignore, image.labels).astype(dtype)[..., None]
            file.write_bytes(encode_geotiff(labels, {"nodata": classes.ignore, **place}, colours, names))
        beside = f"{file.name}.aux.xml"
        if len(os.fsencode(beside)) <= LONGEST_NAME:  # otherwise only the band's tag has the names
            file.with_name(beside).write_text(category_names(classes), encoding="utf-8")
        counts["without_crs"] += not place["crs"]
        counts["pixels_without_data"] += int(missing.sum())
    return counts


def category_names(classes: Classes) -> str:
    """Return the names by pixel value in the form that GDAL stores beside a GeoTIFF."""
    names = "".join(f"<Category>{escape(name)}</Category>" for name in classes.pixel_names)
    return f'<PAMDataset><PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand></PAMDataset>\n'


def read_source_place(image: LabelImage) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """Return CRS and transform or GCPs of the source image, in rasterio's form, and where it has no data ``(Y, X)``.

    An array or an image that EXIF turned upright has neither: rasterio cannot read the former, and reads the latter
    unturned.
    """
    import rasterio

    nowhere = {"crs": None, "transform": rasterio.Affine.identity()}, np.zeros(image.labels.shape, bool)
    if image.path is None:
        raise DataError(f"{image.name}: its source image was not found; give the folder with --images DIR")
    if image.path.suffix.lower() == ".npy":
        return nowhere
    try:
        with rasterio.open(image.path, driver=driver_of(image.path)) as source:
            place, size = georeference(source), (source.height, source.width)
            turned, of_tiff = is_turned(image.path, source.count), source.driver == "GTiff"
        masked = np.ma.getmaskarray(read_raster(image.path)) if of_tiff else np.zeros((1, *size), bool)
        missing: NDArray[np.bool_] = np.logical_and.reduce(masked)
    except rasterio.errors.RasterioError as error:
        raise DataError(f"{image.path}: cannot be read by rasterio ({error})") from None
    if turned and place != nowhere[0]:
        raise DataError(
            f"{image.path}: has a georeference and an EXIF rotation, which contradict each other; save it "
            "without the EXIF orientation"
        )
    if size != image.labels.shape and not (turned and size[::-1] == image.labels.shape):
        raise DataError(
            f"{image.path}: is {size[1]} x {size[0]} pixels, but its mask is {image.labels.shape[1]} x "
            f"{image.labels.shape[0]}; give the right folder with --images DIR"
        )
    return nowhere if turned else (place, missing)


def driver_of(path: Path) -> str:
    """Return the only GDAL driver that may open an image."""
    try:
        with readable(path), open_image(path) as image:
            return DRIVERS.get(str(image.format), "GTiff")
    except DataError:  # Pillow cannot read it, such as a deep TIFF
        return "GTiff"


def georeference(source: Any) -> dict[str, Any]:
    """Return the georeference of a file opened with rasterio; GCPs have a CRS of their own."""
    from rasterio.crs import CRS

    points, crs = source.gcps
    return {"crs": crs or CRS(), "gcps": points} if points else {"crs": source.crs, "transform": source.transform}
