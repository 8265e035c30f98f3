"""Small trees in exactly the layouts of the published data sets: names, bit depths, palettes, quirks.

Each writer returns what a reader must find in it.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

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
    listed: bool = True  # a list names the photographs, so that a missing one is noticed


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


# The 80 things with the published ids, which leave out 12, 26, 29, 30, 45, 66, 68, 69, 71 and 83.
COCO_IDS = [number for number in range(1, 91) if number not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}]
COCO_NAMES = {1: "person", 2: "bicycle", 3: "car", 13: "stop sign", 27: "backpack", 90: "toothbrush"}


def box(left: int, top: int, right: int, bottom: int) -> list[float]:
    """A polygon whose pixels are the columns left to right - 1 and the rows top to bottom - 1."""
    return [left, top, right, top, right, bottom, left, bottom]


def run_lengths(region: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's uncompressed code of a crowd: column by column, starting with zeros."""
    flat = region.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(region.shape), "counts": [0, *counts] if flat[0] else counts}


def annotation(number: int, image: int, category: int, outline: Any, crowd: int = 0) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": outline,
        "area": 1.0,  # whatever stands here, the order of painting is by pixels
        "bbox": [0, 0, 1, 1],
        "iscrowd": crowd,
    }


def write_instances(
    path: Path, files: Mapping[int, str], annotations: Sequence[Any], categories: Sequence[Any]
) -> None:
    images = [{"id": i, "file_name": name, "height": SIDE, "width": SIDE + 8} for i, name in files.items()]
    content = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    write_text(path, json.dumps(content))


def write_coco(root: Path) -> Tree:
    categories = [{"id": i, "name": COCO_NAMES.get(i, f"thing {i}"), "supercategory": "x"} for i in COCO_IDS]
    files = {
        "train": {9: "000000000009.jpg", 25: "000000000025.jpg", 30: "000000000030.jpg"},
        "val": {139: "000000000139.jpg"},
    }
    crowd = np.zeros((SIDE, SIDE + 8), bool)
    crowd[0:10, 0:20] = True
    annotations = {
        "train": [
            annotation(1, 9, 90, [box(8, 8, 16, 16)]),  # small, first in the file, and yet on top
            annotation(2, 9, 13, [box(4, 4, 24, 24), box(30, 4, 36, 10)]),  # two parts
            annotation(3, 9, 1, run_lengths(crowd), crowd=1),
            annotation(4, 25, 27, [box(0, 0, 40, 32), [1.0, 1.0, 2.0, 2.0]]),  # a part too short to be drawn
        ],
        "val": [annotation(5, 139, 90, [box(2, 2, 12, 30)])],
    }
    truth, tags, names = {}, {}, [COCO_NAMES.get(i, f"thing {i}") for i in COCO_IDS]
    for seed, split in enumerate(files):
        for number, file in files[split].items():
            save_photograph(root / f"{split}2017/{file}", 10 * seed + number, SIDE, SIDE + 8)
            truth[file[:-4]] = np.zeros((SIDE, SIDE + 8), np.uint8)
        write_instances(root / f"annotations/instances_{split}2017.json", files[split], annotations[split], categories)
    value = {name: names.index(name) + 1 for name in names}
    assert value["toothbrush"] == 80
    drawn = truth["000000000009"]
    drawn[0:10, 0:20] = 255
    drawn[4:24, 4:24] = drawn[4:10, 30:36] = value["stop sign"]
    drawn[8:16, 8:16] = value["toothbrush"]
    truth["000000000025"][:] = value["backpack"]
    truth["000000000139"][2:30, 2:12] = value["toothbrush"]
    tags = {
        "000000000009": ("person", "stop sign", "toothbrush"),
        "000000000025": ("backpack",),
        "000000000030": (),
        "000000000139": ("toothbrush",),
    }
    splits = {split: tuple(file[:-4] for file in files[split].values()) for split in files}
    return Tree(root, tags, truth, splits, root / "train2017/000000000009.jpg", root / "annotations")


def write_ade20k(root: Path) -> Tree:
    folder = root / "ADEChallengeData2016"
    tags, truth = {}, {}
    for split, word, count in (("training", "train", 3), ("validation", "val", 2)):
        for number in range(1, count + 1):
            name = f"ADE_{word}_{number:08d}"
            save_photograph(folder / f"images/{split}/{name}.jpg", number)
            raw = np.full((SIDE, SIDE), 150, np.uint8)  # flag
            raw[:8] = 0  # other
            raw[9, 9] = number  # a single pixel: wall, building, sky
            save_gray(folder / f"annotations/{split}/{name}.png", raw)
            truth[name] = raw - 1  # wraps 0 to 255
            tags[name] = (("wall", "building", "sky")[number - 1], "flag")
    names = list(tags)
    splits = {"train": tuple(names[:3]), "val": tuple(names[3:])}
    photograph = folder / "images/training/ADE_train_00000001.jpg"
    return Tree(root, tags, truth, splits, photograph, folder / "images/validation", background=None)


def write_endotect(root: Path) -> Tree:
    labeled, segmented = root / "labeled-images", root / "segmented-images"
    findings = {
        "polyps": "pathological-findings",
        "hemorrhoids": "pathological-findings",
        "ulcerative-colitis-grade-0-1": "pathological-findings",
        "cecum": "anatomical-landmarks",
        "bbps-2-3": "quality-of-mucosal-views",
    }
    rows = [["Video file", "Organ", "Finding", "Classification"]]
    tags: dict[str, tuple[str, ...] | None] = {}
    truth, images = {}, []
    for seed in range(10):
        finding = list(findings)[seed % 5]
        name = f"{seed}a7eb9d2-41fb-4a22-93f3-{seed:012d}"
        images.append(save_photograph(labeled / f"lower-gi-tract/{findings[finding]}/{finding}/{name}.jpg", seed))
        rows.append([name, "Lower GI", finding, findings[finding]])
        tags[name] = (finding,)
        if finding == "polyps":
            labels = np.zeros((SIDE, SIDE), np.uint8)
            labels[8:24, 8:24] = 2
            mask = Image.fromarray(np.where(labels > 0, 255, 0).astype(np.uint8)).convert("RGB")
            (segmented / "masks").mkdir(parents=True, exist_ok=True)
            mask.save(segmented / f"masks/{name}.jpg", quality=95)
            truth[name] = labels
    save_photograph(labeled / "upper-gi-tract/anatomical-landmarks/pylorus/u.jpg", 1)
    rows.append(["u", "Upper GI", "pylorus", "anatomical-landmarks"])
    with (labeled / "image-labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    train = ENDOTECT_TRAIN.split()
    splits = {"train": tuple(n for n in tags if n[0] in train), "val": tuple(n for n in tags if n[0] not in train)}
    return Tree(root, tags, truth, splits, images[0], labeled / "lower-gi-tract")


ENDOTECT_TRAIN = "1 2 3 4 5 6 9"  # by first digit: frozen, so that the division never moves


def write_coco_json(root: Path) -> Tree:
    categories = [{"id": 7, "name": "leaf"}, {"id": 3, "name": "stem"}]  # neither sorted nor from 1
    files = {5: "a/one.png", 2: "a\\two.png", 8: "three.png"}
    annotations = [
        annotation(1, 5, 7, [box(0, 0, 10, 10)]),
        annotation(2, 2, 3, run_lengths(np.eye(SIDE, SIDE + 8, dtype=bool))),
        {**annotation(3, 8, 3, None), "bbox": [1, 1, 5, 5]},  # a box alone: a tag and no truth
    ]
    del annotations[2]["segmentation"]
    write_instances(root / "all.json", files, annotations, categories)
    for number, file in files.items():
        save_photograph(root / "photos" / file.replace("\\", "/"), number, SIDE, SIDE + 8)
    write_text(root / "splits/train.txt", "a/one\na/two.png\n")
    leaf = np.full((SIDE, SIDE + 8), 255, np.uint8)
    leaf[:10, :10] = 0
    stem = np.where(np.eye(SIDE, SIDE + 8, dtype=bool), 1, 255).astype(np.uint8)
    tags = {"a/one": ("leaf",), "a/two": ("stem",), "three": ("stem",)}
    settings = {"annotations": "all.json", "images": "photos", "background": False}
    splits = {"train": ("a/one", "a/two")}
    truth = {"a/one": leaf, "a/two": stem}
    return Tree(root, tags, truth, splits, root / "photos/a/one.png", root / "all.json", None, settings)


def shape(label: str, kind: str | None, points: Sequence[Any], **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def write_labelme(root: Path) -> Tree:
    stamp = io.BytesIO()
    Image.fromarray(np.full((4, 6), 255, np.uint8)).convert("1").save(stamp, "PNG")
    coded = base64.b64encode(stamp.getvalue()).decode()
    pages = {
        "x/cow": [
            shape("cow", "polygon", [[2, 2], [12, 2], [12, 12], [2, 12]]),
            shape("hay", "rectangle", [[20.0, 20.0], [8.0, 8.0]]),  # over the cow, corners swapped
            shape("__ignore__", None, [[0, 26], [31, 26], [31, 31], [0, 31]]),
            shape("_background_", "rectangle", [[10, 10], [11, 11]]),
        ],
        "hay": [
            shape("hay", "circle", [[16, 16], [16, 19]]),
            shape("hay", "mask", [[1, 1], [6, 4]], mask=coded),
            shape("cow", "linestrip", [[0, 28], [31, 28]]),
            shape("cow", "point", [[26, 6]]),
        ],
        "empty": [],
        "flag": [],
    }
    for seed, (name, shapes) in enumerate(pages.items()):
        save_photograph(root / f"{name}.jpg", seed)
        page = {
            "version": "5.5.0",
            "flags": {"hay": name == "flag", "cow": False},
            "shapes": shapes,
            "imagePath": f"..\\x\\{name[2:]}.jpg" if name.startswith("x/") else f"{name}.jpg",
            "imageData": None,
            "imageHeight": SIDE,
            "imageWidth": SIDE,
        }
        write_text(root / f"{name}.json", json.dumps(page))
    first = np.zeros((SIDE, SIDE), np.uint8)
    first[2:13, 2:13] = 1
    first[8:21, 8:21] = 2
    first[26:] = 255
    first[10:12, 10:12] = 0
    canvas = Image.new("L", (SIDE, SIDE))  # Pillow's discs, as labelme draws them
    brush = ImageDraw.Draw(canvas)
    brush.ellipse((13, 13, 19, 19), fill=2)
    brush.rectangle((1, 1, 6, 4), fill=2)
    brush.rectangle((0, 24, 31, 32), fill=1)
    brush.ellipse((21, 1, 31, 11), fill=1)
    second = np.asarray(canvas)
    tags = {"x/cow": ("cow", "hay"), "hay": ("cow", "hay"), "empty": (), "flag": ("hay",)}
    return Tree(root, tags, {"x/cow": first, "hay": second}, {}, root / "x/cow.jpg", root)


def write_imagefolder(root: Path) -> Tree:
    tags = {}
    for seed, name in enumerate(("train/cat/1", "train/cat/2", "train/dog/1", "val/dog/x.y")):
        save_photograph(root / f"{name}.jpg", seed)
        tags[name] = (name.split("/")[1],)
    truth = {"train/cat/1": np.eye(SIDE, dtype=np.uint8), "val/dog/x.y": np.full((SIDE, SIDE), 255, np.uint8)}
    for name, labels in truth.items():
        save_gray(root / f"masks/{name}.png", labels)
    names = tuple(tags)
    splits = {"train": names[:3], "val": names[3:]}
    return Tree(root, tags, truth, splits, root / "train/cat/1.jpg", root, None, {}, listed=False)


def write_csv(root: Path) -> Tree:
    rows = ["file\twhat\tset", "0007.jpg\tcat|dog\ttrain", "b/0008.jpg\t\ttrain", "0009.jpg\tdog\tval"]
    (root / "pictures").mkdir(parents=True)
    (root / "list.tsv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode() + b"\r\n")
    for seed, name in enumerate(("0007", "b/0008", "0009")):
        save_photograph(root / f"pictures/{name}.jpg", seed)
    write_text(root / "classes.txt", "background\ndog\ncat\n")
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[4:8] = 2
    labels[8:9] = 255
    save_indexed(root / "masks/0007.png", labels)
    tags = {"0007": ("cat", "dog"), "b/0008": (), "0009": ("dog",)}
    settings = {"table": "list.tsv", "image": "file", "labels": "what", "split": "set", "images": "pictures"}
    settings |= {"delimiter": "\t", "separator": "|"}
    splits = {"train": ("0007", "b/0008"), "val": ("0009",)}
    truth = {"0007": labels}
    return Tree(root, tags, truth, splits, root / "pictures/0007.jpg", root / "list.tsv", "background", settings)


TREES: Mapping[str, Callable[[Path], Tree]] = {
    "voc": write_voc,
    "coco": write_coco,
    "ade20k": write_ade20k,
    "dfc2020": write_dfc2020,
    "endotect": write_endotect,
    "coco-json": write_coco_json,
    "labelme": write_labelme,
    "imagefolder": write_imagefolder,
    "csv": write_csv,
}
