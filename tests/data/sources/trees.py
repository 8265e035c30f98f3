"""A tree for every source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tree_parts import Tree
from trees_dfc2020 import write_dfc2020
from trees_huggingface import write_clone
from trees_own import write_coco_json, write_csv, write_imagefolder, write_labelme, write_yolo
from trees_published import write_ade20k, write_coco, write_endotect, write_voc

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
    "huggingface": write_clone,
    "yolo": write_yolo,
}
