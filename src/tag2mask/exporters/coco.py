"""COCO annotations with compressed RLE: one JSON file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tag2mask.data import Classes
from tag2mask.errors import DataError
from tag2mask.exporters.label_images import LabelImage
from tag2mask.masks.write import MaskSet


def write_coco(path: Path, mask_set: MaskSet, label_images: Iterable[LabelImage]) -> Counter[str]:
    """Write all masks as annotations; category ``c + 1`` is tag ``c``.

    Masks have classes but no instances, so an annotation is all pixels of one class in one image, with ``iscrowd`` 0.
    Background and ignore have no annotations.

    Raises:
        DataError: the suffix of an image is unknown.
    """
    classes = mask_set.classes
    counts = Counter(annotations=0, ignored_pixels_unlabelled=0, images_not_found=0)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(label_images, start=1):
        height, width = image.labels.shape
        images.append({"id": image_id, "file_name": file_name(image), "width": width, "height": height})
        for annotation in annotate(image, classes):
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **annotation})
        counts["ignored_pixels_unlabelled"] += int((image.labels == classes.ignore).sum())
        counts["images_not_found"] += image.path is None
    counts["annotations"] = len(annotations)
    categories = [{"id": tag + 1, "name": name, "supercategory": ""} for tag, name in enumerate(classes.names)]
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content), encoding="utf-8")
    return counts


def file_name(image: LabelImage) -> str:
    """Return the image's name with its suffix.

    Raises:
        DataError: the suffix is unknown.
    """
    if image.suffix is None:
        raise DataError(
            f"{image.name}: its image was not found, but coco needs its suffix; give the folder with "
            "--images DIR, or if the images no longer exist, their suffix with --suffix .jpg"
        )
    return image.name + image.suffix


def annotate(image: LabelImage, classes: Classes) -> list[dict[str, Any]]:
    """Return one annotation per class in the image, without ids."""
    from pycocotools import mask as rle

    annotations = []
    for value in np.unique(image.labels).tolist():
        if not classes.offset <= value < len(classes.pixel_names):
            continue
        encoded = rle.encode(np.asfortranarray(image.labels == value, np.uint8))
        annotations.append(
            {
                "category_id": value - classes.offset + 1,
                "segmentation": {"size": list(image.labels.shape), "counts": encoded["counts"].decode("ascii")},
                "area": int(rle.area(encoded)),
                "bbox": rle.toBbox(encoded).tolist(),
                "iscrowd": 0,
            }
        )
    return annotations
