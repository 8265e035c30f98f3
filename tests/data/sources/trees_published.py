"""Small trees in exactly the layouts of the published data sets: names, bit depths, palettes, quirks."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from tree_parts import (
    SIDE,
    Tree,
    annotation,
    box,
    run_lengths,
    save_gray,
    save_image,
    save_indexed,
    write_instances,
    write_text,
)

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
        save_image(folder / f"JPEGImages/{name}.jpg", seed, SIDE, SIDE + 8)
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


# The 80 things with the published ids, which leave out 12, 26, 29, 30, 45, 66, 68, 69, 71 and 83.
COCO_IDS = [number for number in range(1, 91) if number not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}]
COCO_NAMES = {1: "person", 2: "bicycle", 3: "car", 13: "stop sign", 27: "backpack", 90: "toothbrush"}


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
            save_image(root / f"{split}2017/{file}", 10 * seed + number, SIDE, SIDE + 8)
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
            save_image(folder / f"images/{split}/{name}.jpg", number)
            raw = np.full((SIDE, SIDE), 150, np.uint8)  # flag
            raw[:8] = 0  # other
            raw[9, 9] = number  # a single pixel: wall, building, sky
            save_gray(folder / f"annotations/{split}/{name}.png", raw)
            truth[name] = raw - 1  # wraps 0 to 255
            tags[name] = (("wall", "building", "sky")[number - 1], "flag")
    names = list(tags)
    splits = {"train": tuple(names[:3]), "val": tuple(names[3:])}
    image = folder / "images/training/ADE_train_00000001.jpg"
    return Tree(root, tags, truth, splits, image, folder / "images/validation", background=None)


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
        images.append(save_image(labeled / f"lower-gi-tract/{findings[finding]}/{finding}/{name}.jpg", seed))
        rows.append([name, "Lower GI", finding, findings[finding]])
        tags[name] = (finding,)
        if finding == "polyps":
            labels = np.zeros((SIDE, SIDE), np.uint8)
            labels[8:24, 8:24] = 2
            mask = Image.fromarray(np.where(labels > 0, 255, 0).astype(np.uint8)).convert("RGB")
            (segmented / "masks").mkdir(parents=True, exist_ok=True)
            mask.save(segmented / f"masks/{name}.jpg", quality=95)
            truth[name] = labels
    save_image(labeled / "upper-gi-tract/anatomical-landmarks/pylorus/u.jpg", 1)
    rows.append(["u", "Upper GI", "pylorus", "anatomical-landmarks"])
    with (labeled / "image-labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    train = ENDOTECT_TRAIN.split()
    splits = {"train": tuple(n for n in tags if n[0] in train), "val": tuple(n for n in tags if n[0] not in train)}
    return Tree(root, tags, truth, splits, images[0], labeled / "lower-gi-tract")


ENDOTECT_TRAIN = "1 2 3 4 5 6 9"  # by first digit: frozen, so that the division never moves
