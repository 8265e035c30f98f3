"""GeoTIFFs for tests; they are skipped without rasterio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest


def write_geotiff(path: Path, pixels: np.ndarray, **profile: Any) -> Path:
    """``(Y, X, bands)`` of any type."""
    rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 4649000)}
    profile = {"driver": "GTiff", "dtype": pixels.dtype, "count": pixels.shape[2], **place, **profile}
    with rasterio.open(path, "w", height=pixels.shape[0], width=pixels.shape[1], **profile) as file:
        file.write(np.moveaxis(pixels, 2, 0))
    return path
