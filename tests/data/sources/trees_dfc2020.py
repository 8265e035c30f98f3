"""DFC2020's layout; without rasterio it is skipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tree_parts import SIDE, Tree, write_text

from geotiff import write_geotiff

DFC = {  # by class: its value in dfc files
    "Forest": 1,
    "Shrubland": 2,
    "Grassland": 4,
    "Wetlands": 5,
    "Croplands": 6,
    "Urban": 7,
    "Barren": 9,
    "Water": 10,
}
TILES = {  # rows of each DFC value from above, of SIDE; a tag has a tenth of them, 4 rows at least
    "ROIs0000_test_0_p12": {1: 16, 10: 13, 7: 3},
    "ROIs0000_test_0_p7": {2: 8, 6: 20, 3: 4},
    "ROIs0000_test_31_p0": {3: 16, 8: 13, 9: 3},
    "ROIs0000_test_31_p1": {4: 10, 5: 12, 9: 10},
    "ROIs0000_validation_2_p3": {1: 29, 4: 3},
    "ROIs0000_validation_2_p4": {0: 12, 10: 20},
}


def write_dfc2020(root: Path) -> Tree:
    """In the original 256 x 256; s2 is uint16 with 13 bands, s1 float32, lc has four bands and the first one counts."""
    tags, truth = {}, {}
    names = list(DFC)
    for seed, (name, rows) in enumerate(TILES.items()):
        season, scene, number = name.rsplit("_", 2)
        values = np.repeat(list(rows), list(rows.values()))[:, None].repeat(SIDE, 1)
        shares = {value: count for value, count in rows.items() if value in DFC.values() and count >= SIDE / 10}
        tags[name] = tuple(label for label, value in DFC.items() if value in shares)
        labels = np.full_like(values, 255)
        for index, label in enumerate(names):
            labels[values == DFC[label]] = index
        truth[name] = labels
        generator = np.random.default_rng(seed)
        igbp = np.where(values == 10, 17, values)[..., None] + np.zeros(4)
        for sensor, pixels in (
            ("s2", generator.integers(0, 12_000, (SIDE, SIDE, 13)).astype(np.uint16)),
            ("s1", generator.uniform(-30, 2, (SIDE, SIDE, 2)).astype(np.float32)),
            ("dfc", values[..., None].astype(np.uint8)),
            ("lc", igbp.astype(np.uint8)),
        ):
            folder = "validation" if season == "ROIs0000_validation" else scene  # as distributed
            path = root / season / f"{sensor}_{folder}" / f"{season}_{sensor}_{scene}_{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_geotiff(path, pixels)
    splits = {"train": tuple(list(TILES)[:4]), "test": tuple(list(TILES)[4:])}
    for season, split in (("test", "train"), ("validation", "test")):
        lines = [name.rsplit("_", 2)[1:] for name in splits[split]]
        rows_of = "".join(f"Seasons.{season.upper()}SET,{scene},{number[1:]}\n" for scene, number in lines)
        write_text(root / f"{season}_observations.csv", rows_of)
    first = root / "ROIs0000_test/s2_0/ROIs0000_test_s2_0_p12.tif"
    return Tree(root, tags, truth, splits, first, root / "ROIs0000_test", None)
