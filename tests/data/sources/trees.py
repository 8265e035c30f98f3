"""Small trees in exactly the layouts of the published data sets: names, bit depths, palettes, quirks.

Each writer returns what a reader must find in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geotiff import write_geotiff
from tag2mask.data.classes import voc_colours

SIDE = 32


@dataclass(frozen=True)
class Tree:
    """What is in a tree: tags by photograph, one whole label image, lists, and what to break."""

    root: Path
    tags: Mapping[str, tuple[str, ...] | None]
    truth: Mapping[str, NDArray[Any]]
    splits: Mapping[str, tuple[str, ...]]
    photograph: Path  # of the first name
    essential: Path  # without it the root is wrong
    background: str | None = "background"
    settings: Mapping[str, Any] = field(default_factory=dict)


def noise(seed: int, height: int = SIDE, width: int = SIDE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save_photograph(path: Path, seed: int, height: int = SIDE, width: int = SIDE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed, height, width)).save(path)
    return path


def save_indexed(path: Path, labels: NDArray[np.uint8]) -> None:
    """Mode P with VOC's palette, as the challenge ships it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels)
    image.putpalette(voc_colours(256).ravel().tolist())
    image.save(path)


def save_gray(path: Path, labels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path)


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


OBJECT = """	<object>
		<name>{name}</name>
		<difficult>{difficult}</difficult>
		<bndbox><xmin>4</xmin><ymin>4</ymin><xmax>20</xmax><ymax>20</ymax></bndbox>
		<part><name>head</name></part>
	</object>
"""
VOC_ORDER = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor"
)
VOC = {  # tags, the last one difficult
    "2007_000032": ("aeroplane", "person"),
    "2007_000039": ("tvmonitor",),
    "2008_000008": ("horse", "person"),
    "2008_000015": ("bottle",),
    "2007_000033": ("aeroplane",),
    "2007_000042": ("train",),
}


def write_voc(root: Path) -> Tree:
    folder = root / "VOCdevkit/VOC2012"
    truth, vectors = {}, {}
    names = VOC_ORDER.split()
    for seed, (name, tags) in enumerate(VOC.items()):
        save_photograph(folder / f"JPEGImages/{name}.jpg", seed, SIDE, SIDE + 8)
        objects = "".join(OBJECT.format(name=tag, difficult=int(tag == tags[-1])) for tag in (*tags, tags[0]))
        write_text(
            folder / f"Annotations/{name}.xml", f"<annotation>\n<folder>VOC2012</folder>\n{objects}</annotation>\n"
        )
        labels = np.zeros((SIDE, SIDE + 8), np.uint8)
        for number, tag in enumerate(tags):
            labels[4 + 12 * number : 14 + 12 * number, 4:30] = names.index(tag) + 1
            labels[3 + 12 * number, 4:30] = 255
        truth[name] = labels
        save_gray(folder / f"SegmentationClassAug/{name}.png", labels)
        vectors[name] = np.isin(names, tags).astype(np.float32)
    wrong = np.full((SIDE, SIDE + 8), 255, np.uint8)  # the augmented masks come first
    save_indexed(folder / "SegmentationClass/2007_000032.png", wrong)
    np.save(root / "cls_labels.npy", vectors)  # type: ignore[arg-type]
    ids = list(VOC)
    splits = {"train_aug": tuple(ids[:4]), "train": tuple(ids[:2]), "val": tuple(ids[4:])}
    lists = folder / "ImageSets/Segmentation"
    for split in ("train", "val"):
        write_text(lists / f"{split}.txt", "\n".join(splits[split]) + "\n")
    lines = [f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png" for name in splits["train_aug"]]
    write_text(lists / "train_aug.txt", "\n".join(lines) + "\n")
    return Tree(root, VOC, truth, splits, folder / f"JPEGImages/{ids[0]}.jpg", folder / "JPEGImages")


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
            path = root / season / f"{sensor}_{scene}" / f"{season}_{sensor}_{scene}_{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_geotiff(path, pixels)
    splits = {"train": tuple(list(TILES)[:4]), "test": tuple(list(TILES)[4:])}
    for season, split in (("test", "train"), ("validation", "test")):
        lines = [name.rsplit("_", 2)[1:] for name in splits[split]]
        rows_of = "".join(f"Seasons.{season.upper()}SET,{scene},{number[1:]}\n" for scene, number in lines)
        write_text(root / f"{season}_observations.csv", rows_of)
    first = root / "ROIs0000_test/s2_0/ROIs0000_test_s2_0_p12.tif"
    return Tree(root, tags, truth, splits, first, root / "ROIs0000_test", None)


TREES: Mapping[str, Callable[[Path], Tree]] = {"voc": write_voc, "dfc2020": write_dfc2020}
