"""Photographs as GeoTIFFs; it needs rasterio. Shapes: Y X pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_place(path: Path) -> dict[str, Any]:
    """Where a GeoTIFF lies: CRS and transform."""
    import rasterio

    with rasterio.open(path, driver="GTiff") as file:
        return {"crs": file.crs, "transform": file.transform}


def write_geotiff(path: Path, pixels: NDArray[np.generic], place: dict[str, Any]) -> None:
    """Pixels ``(Y, X, bands)`` in one move."""
    import rasterio

    height, width, count = pixels.shape
    beside = path.with_name(f".{path.name}.new")
    profile = {"driver": "GTiff", "dtype": pixels.dtype, "count": count, "compress": "deflate", **place}
    try:
        with rasterio.open(beside, "w", height=height, width=width, **profile) as file:
            file.write(np.moveaxis(pixels, 2, 0))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
