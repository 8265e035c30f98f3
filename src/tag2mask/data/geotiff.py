"""Images as GeoTIFFs; needs rasterio. Shapes: Y X pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tag2mask.files import write_bytes


def read_georeference(path: Path) -> dict[str, Any]:
    """Return a GeoTIFF's CRS and transform."""
    import rasterio

    with rasterio.open(path, driver="GTiff") as file:
        return {"crs": file.crs, "transform": file.transform}


def write_geotiff(path: Path, pixels: NDArray[np.generic], place: dict[str, Any]) -> None:
    """Write pixels ``(Y, X, bands)`` atomically; ``place`` is what ``read_georeference`` returned."""
    write_bytes(path, encode_geotiff(pixels, place))


def encode_geotiff(
    pixels: NDArray[np.generic],
    profile: Mapping[str, Any],
    colours: Mapping[int, tuple[int, ...]] | None = None,
    tags: Mapping[str, str] | None = None,
) -> bytes:
    """Return pixels ``(Y, X, bands)`` as the bytes of a GeoTIFF; ``tags`` are set on the first band.

    The file is made in memory, since GDAL does not report a full disk.
    """
    import rasterio

    height, width, count = pixels.shape
    whole = {"driver": "GTiff", "dtype": pixels.dtype, "count": count, "compress": "deflate", **profile}
    with rasterio.MemoryFile() as memory:
        with rasterio.open(memory.name, "w", height=height, width=width, **whole) as file:
            file.write(np.moveaxis(pixels, 2, 0))
            file.update_tags(1, **(tags or {}))
            if colours is not None:
                file.write_colormap(1, dict(colours))
        return bytes(memory.getbuffer())
