"""Generated land-cover tiles of 13 Sentinel-2 bands, with tags by the 10 % rule and exact truth.

The spectra are plausible, not measured. Shapes: S side of a tile in pixels.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tag2mask.data.classes import Classes
from tag2mask.data.geotiff import write_geotiff
from tag2mask.data.settings import OWN
from tag2mask.data.statistics import write_statistics
from tag2mask.synthetic.noise import smooth

BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
RGB = (3, 2, 1)
CLIP = (0.0, 1e4)
SHARE = 0.1  # fraction of a tile that a class must fill to be one of its tags
# Reflectance times 10,000, by band.
SPECTRA = {
    "Forest": (350, 300, 450, 300, 700, 1900, 2300, 2400, 2600, 800, 20, 1300, 600),
    "Shrubland": (500, 550, 800, 800, 1200, 1900, 2200, 2300, 2500, 900, 20, 2200, 1400),
    "Grassland": (450, 500, 850, 700, 1300, 2500, 2900, 3000, 3200, 1000, 20, 2100, 1200),
    "Wetlands": (400, 400, 600, 450, 800, 1500, 1800, 1800, 1900, 600, 20, 900, 450),
    "Croplands": (500, 600, 950, 850, 1450, 2500, 3000, 3100, 3300, 1050, 20, 2300, 1400),
    "Urban": (1100, 1200, 1400, 1500, 1700, 1900, 2100, 2150, 2250, 900, 30, 2200, 1900),
    "Barren": (1200, 1500, 2000, 2600, 2900, 3050, 3200, 3250, 3350, 1200, 30, 4200, 3700),
    "Water": (600, 500, 400, 250, 220, 200, 190, 180, 160, 100, 10, 100, 80),
}
CLASSES = Classes(tuple(SPECTRA))
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Tile:
    """A tile: ``pixels`` are 16-bit ``(S, S, 13)``, ``truth`` ``(S, S)`` holds the index of each pixel's class."""

    pixels: NDArray[np.uint16]
    truth: NDArray[np.uint8]

    def tags(self) -> tuple[int, ...]:
        """Return the classes that fill at least a tenth of the tile."""
        counts = np.bincount(self.truth.ravel(), minlength=len(CLASSES))
        return tuple(np.flatnonzero(counts >= SHARE * self.truth.size).tolist())


def write_landcover(root: Path, counts: dict[str, int], side: int = 64, seed: int = 0, scale: str = "range") -> None:
    """Write a ``folder`` data set of GeoTIFF tiles, ``counts`` per split, with ``dataset.yaml``; needs rasterio."""
    generator = np.random.default_rng(seed)
    for folder in ("images", "masks", "splits"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(CLASSES.names) + "\n")
    rows: list[tuple[str, str]] = []
    for split, count in counts.items():
        names = [f"{split}_{index:04d}" for index in range(count)]
        for name in names:
            tile = compose_tile(side, generator)
            write_geotiff(root / "images" / f"{name}.tif", tile.pixels, tile_place(len(rows), side))
            Image.fromarray(tile.truth).save(root / "masks" / f"{name}.png")
            rows.append((f"{name}.tif", ";".join(CLASSES.names[tag] for tag in tile.tags())))
        (root / "splits" / f"{split}.txt").write_text("\n".join(names) + "\n")
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "labels"), *rows])
    (root / OWN).write_text(yaml.safe_dump({"bands": len(BANDS), "clip": list(CLIP), "scale": scale, "rgb": list(RGB)}))
    write_statistics(root)


def tile_place(number: int, side: int) -> dict[str, Any]:
    """Return a tile's georeference: pixels of 10 m, each tile to the east of the previous one."""
    return {"crs": "EPSG:32632", "transform": (10, 0, 500_000 + 10 * side * number, 0, -10, 5_200_000)}


def compose_tile(side: int, generator: np.random.Generator) -> Tile:
    """Compose one tile: regions of two to four classes, mixed at their borders, with random light and haze."""
    present = generator.choice(len(CLASSES), generator.integers(2, 5), replace=False)
    heights = np.stack([smooth(side, side / 7, generator) for _ in present])
    truth = present[heights.argmax(0)].astype(np.uint8)
    scene = np.zeros((side, side, len(BANDS)))
    for index in present:
        # A pixel mixes in a little of its neighbours; cover is the fraction of the class in it.
        cover = ndimage.gaussian_filter((truth == index).astype(np.float64), 0.7)
        scene += cover[..., None] * surface(CLASSES.names[index], side, generator)
    scene = scene * generator.uniform(0.85, 1.15) + generator.uniform(0, 150) * np.linspace(1, 0.1, len(BANDS))
    scene += generator.normal(0, 30, scene.shape) + generator.normal(0, 0.02, scene.shape) * scene
    return Tile(scene.clip(1, 2**16 - 1).round().astype(np.uint16), truth)


def surface(name: str, side: int, generator: np.random.Generator) -> Values:
    """Return a tile ``(S, S, 13)`` of a single class."""
    spectrum = np.array(SPECTRA[name], np.float64) * generator.normal(1, 0.07, len(BANDS)).clip(0.8, 1.2)
    return np.asarray(spectrum * (1 + texture(name, side, generator)[..., None]))


def texture(name: str, side: int, generator: np.random.Generator) -> Values:
    """Return how much brighter each pixel is than the spectrum of its class, as a fraction."""
    soft = 0.06 * smooth(side, 4, generator)
    if name == "Croplands":  # rows in one direction
        angle = generator.uniform(0, np.pi)
        y, x = np.indices((side, side))
        return np.asarray(soft + 0.14 * np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / 5))
    if name == "Urban":  # roofs and streets
        roofs = generator.uniform(-0.4, 0.5, (side // 3 + 1, side // 3 + 1))
        return np.asarray(soft + np.kron(roofs, np.ones((3, 3)))[:side, :side])
    if name == "Forest":  # crowns
        return soft + 0.12 * smooth(side, 1, generator)
    if name == "Wetlands":  # pools
        return soft - 0.25 * (smooth(side, 2, generator) > 0.8)
    return soft
