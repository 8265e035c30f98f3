"""DFC2020: land cover from 13 Sentinel-2 bands, optionally with Sentinel-1. Layout and choices: dfc2020.md.

Shapes: Y X pixels.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tag2mask.data.classes import Classes
from tag2mask.data.reading import read_image
from tag2mask.data.settings import DataSettings
from tag2mask.data.sources.record import LabelImage, Record, Source, require_layout
from tag2mask.data.tags_table import number_rows, open_csv
from tag2mask.data.tiff import read_raster
from tag2mask.errors import DataError
from tag2mask.settings import Settings

NAMES = ("Forest", "Shrubland", "Grassland", "Wetlands", "Croplands", "Urban", "Barren", "Water")
OF_DFC = np.array([255, 0, 1, 255, 2, 3, 4, 5, 255, 6, 7])  # 3 Savanna and 8 Snow belong to no class
OF_IGBP = OF_DFC[[0, 1, 1, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 6, 8, 9, 10]]
LISTS = {"train": "test", "test": "validation"}  # our splits from the contest's, as the papers use them
OPTICAL, RADAR = ((0.0, 1e4),) * 13, ((-25.0, 0.0),) * 2
RED_GREEN_BLUE = (3, 2, 1)


class Dfc2020Settings(Settings):
    """Settings of DFC2020. ``scale`` is that of ``DataSettings``; ``maximum`` is what TokenMasking's code does."""

    radar: bool = Field(False, description="Append the bands of Sentinel-1")
    tags: Literal["dfc", "lc"] = Field("dfc", description="Label images that the tags come from")
    share: float = Field(0.1, ge=0, le=1, description="Fraction of a tile that a class must fill to be a tag")
    scale: Literal["range", "maximum"] = Field(
        "maximum", description="Scale raw values by the range of their type, or by each band's maximum"
    )


@dataclass(frozen=True)
class TileFiles:
    """The files of one tile: ``root`` is the season's folder, ``folder`` the end of its sensors' folder names."""

    root: Path
    scene: str
    number: str
    folder: str

    @property
    def name(self) -> str:
        """The tile's name, unique over both seasons."""
        return f"{self.root.name}_{self.scene}_p{self.number}"

    def file(self, sensor: str) -> Path:
        """Return the file of a ``sensor``: s1, s2, lc or dfc."""
        name = f"{self.root.name}_{sensor}_{self.scene}_p{self.number}.tif"
        return self.root / f"{sensor}_{self.folder}" / name


class Dfc2020(Source):
    """The two seasons of the contest."""

    settings_class = Dfc2020Settings
    settings: Dfc2020Settings
    layout = (
        "ROOT/ROIs0000_test/ and ROOT/ROIs0000_validation/ with s2_SCENE/SEASON_s2_SCENE_pID.tif, "
        "dfc_SCENE/SEASON_dfc_SCENE_pID.tif, and s1_SCENE/, lc_SCENE/ if the settings need them; s2_validation/ and "
        "so on may hold all scenes of that season"
    )

    def __init__(self, root: Path, settings: Dfc2020Settings) -> None:
        require_layout(root, [f"ROIs0000_{season}" for season in LISTS.values()], self.layout)
        self.settings = settings
        self.classes = Classes(NAMES)
        self.bands = len(self.clips())
        tiles = {split: find_tiles(root, season) for split, season in LISTS.items()}
        self.tiles = {tile.name: tile for of_split in tiles.values() for tile in of_split}
        self.splits = {split: [tile.name for tile in of_split] for split, of_split in tiles.items()}
        if not self.tiles:
            raise DataError(f"{root}: holds no tile; expected: {self.layout}")

    def clips(self) -> tuple[tuple[float, float], ...]:
        """Return low and high of every band, in raw units."""
        return OPTICAL + RADAR if self.settings.radar else OPTICAL

    def data_settings(self) -> DataSettings:
        """Return settings with the usual clipping."""
        return DataSettings(bands=self.bands, scale=self.settings.scale, clip=self.clips(), rgb=RED_GREEN_BLUE)

    def names(self) -> Sequence[str]:
        """Return the tiles of both seasons."""
        return list(self.tiles)

    def record(self, name: str) -> Record:
        """Return a tile; its tags are unknown without the label file that they come from."""
        tile = self.tiles[name]
        dfc, lc = tile.file("dfc"), tile.file("lc")
        truth = partial(read_land_cover, dfc, OF_DFC) if dfc.is_file() else None
        known = (
            truth if self.settings.tags == "dfc" else partial(read_land_cover, lc, OF_IGBP) if lc.is_file() else None
        )
        tags = None if known is None else large_classes(known(), self.settings.share)
        compose = partial(read_both, tile) if self.settings.radar else None
        return Record(name, tile.file("s2"), tags, truth, compose)


def find_tiles(root: Path, season: str) -> list[TileFiles]:
    """Return the tiles in ``SEASON_observations.csv``, or without that table, all tiles with an s2 file.

    Raises:
        DataError: a line of the table is not an observation.
    """
    folder, table = root / f"ROIs0000_{season}", root / f"{season}_observations.csv"
    together = (folder / f"s2_{season}").is_dir()
    if not table.is_file():
        found = []
        for path in folder.glob(f"s2_{season}/*.tif" if together else "s2_*/*.tif"):
            scene, _, number = path.stem.removeprefix(f"{folder.name}_s2_").rpartition("_p")
            found.append(TileFiles(folder, scene, number, season if together else scene))
        return sorted(found, key=lambda tile: tile.name)
    tiles = []
    with open_csv(table) as file:
        for line, row in number_rows(csv.reader(file)):
            if len(row) != 3 or not row[1].strip().isdecimal() or not row[2].strip().isdecimal():
                raise DataError(
                    f"{table}, line {line}: {','.join(row)[:100]} is not an observation; "
                    "expected SEASON,SCENE,ID and no header"
                )
            scene, number = row[1].strip(), row[2].strip()
            tiles.append(TileFiles(folder, scene, number, season if together else scene))
    return tiles


def read_land_cover(path: Path, classes: LabelImage) -> LabelImage:
    """Read the first band of a label file ``(Y, X)`` and map its values to our pixel values by ``classes``.

    Raises:
        DataError: it cannot be read, or holds a value that is not in the scheme.
    """
    labels = np.ma.getdata(read_raster(path)[0]).astype(np.int64)
    if labels.min() < 0 or labels.max() >= len(classes):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise DataError(f"{path}: holds the label {wrong}; expected 0 to {len(classes) - 1}")
    return np.asarray(classes[labels])


def large_classes(labels: LabelImage, share: float) -> tuple[int, ...]:
    """Return the classes that fill at least the fraction ``share`` of all pixels, including pixels of no class."""
    counts = np.bincount(labels.ravel(), minlength=256)[: len(NAMES)]
    return tuple(np.flatnonzero((counts > 0) & (counts >= share * labels.size)).tolist())


def read_both(tile: TileFiles) -> NDArray[np.float32]:
    """Read 15 bands in raw units, ``(Y, X, 15)``: 13 of Sentinel-2, then Sentinel-1's VV and VH in dB.

    Raises:
        DataError: one of the two cannot be read, or they differ in size.
    """
    optical, radar = tile.file("s2"), tile.file("s1")
    parts = [read_image(file, bands) for file, bands in ((optical, len(OPTICAL)), (radar, len(RADAR)))]
    if parts[0].shape[:2] != parts[1].shape[:2]:
        raise DataError(
            f"{radar}: is {parts[1].shape[:2]}, but {optical} is {parts[0].shape[:2]}; both must have the same size"
        )
    return np.concatenate(parts, 2).astype(np.float32)
