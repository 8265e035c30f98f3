"""Small trees of everybody's own data."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
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
        save_image(root / "photos" / file.replace("\\", "/"), number, SIDE, SIDE + 8)
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
        save_image(root / f"{name}.jpg", seed)
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
        save_image(root / f"{name}.jpg", seed)
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
        save_image(root / f"pictures/{name}.jpg", seed)
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


def write_yolo(root: Path) -> Tree:
    lines = {
        "train/1": "1 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n0 0.5 0.5 0.625 0.5 0.625 0.625 0.5 0.625\n",
        "train/b/2": "0 0.5 0.5 0.25 0.25\n\n",  # a box: a tag and no truth
        "train/3": "",
        "val/4": None,  # no file: no object
        "val/5": "1 0 0 1 0 0 1\n",
        "test/6": None,  # a split without any file: nothing is known
    }
    for seed, (name, text) in enumerate(lines.items()):
        save_image(root / f"images/{name}.jpg", seed)
        if text is not None:
            write_text(root / f"labels/{name}.txt", text)
    write_text(root / "data.yaml", "train: images/train\nval: images/val\nnc: 2\nnames: {0: cat, 1: dog}\n")
    first = np.zeros((SIDE, SIDE), np.uint8)
    first[8:25, 8:25] = 2
    first[16:21, 16:21] = 1
    half = np.zeros((SIDE, SIDE), np.uint8)
    half[np.add.outer(np.arange(SIDE), np.arange(SIDE)) <= SIDE] = 2
    nothing = np.zeros((SIDE, SIDE), np.uint8)
    truth = {"train/1": first, "train/3": nothing, "val/4": nothing, "val/5": half}
    tags = {"train/1": ("cat", "dog"), "train/b/2": ("cat",), "train/3": (), "val/4": (), "val/5": ("dog",)}
    splits = {"train": ("train/1", "train/3", "train/b/2"), "val": ("val/4", "val/5"), "test": ("test/6",)}
    return Tree(
        root, {**tags, "test/6": None}, truth, splits, root / "images/train/1.jpg", root / "data.yaml", listed=False
    )
