"""YOLO segmentation: a folder with ``labels/NAME.txt`` and ``data.yaml``; the images belong in its ``images/``.

A line is a polygon, ``class x1 y1 x2 y2 ...``, as fractions of width and height. For holes and pixels that touch at a
corner, see ``outline``; no piece is too small. Ultralytics fills the polygons exactly; supervision first rounds corners
to whole pixels, so its masks differ along the outlines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tag2mask.exporters.label_images import LabelImage
from tag2mask.exporters.outline import polygons
from tag2mask.masks.write import MaskSet

UNLABELLED = -1


def write_yolo(path: Path, mask_set: MaskSet, label_images: Iterable[LabelImage]) -> Counter[str]:
    """Write all masks as polygons; class ``c`` is tag ``c``.

    Background and ignore have no polygons. ``pixels_wrong`` counts the pixels where the written polygons, filled by
    Pillow, differ from the masks.
    """
    classes = mask_set.classes
    counts = Counter(polygons=0, holes_cut_open=0, pixels_wrong=0, ignored_pixels_unlabelled=0)
    for image in label_images:
        tags = np.where(image.labels == classes.ignore, UNLABELLED, image.labels - classes.offset)
        lines, holes = polygon_lines(tags)
        file = path / "labels" / f"{image.name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        counts["polygons"] += len(lines)
        counts["holes_cut_open"] += holes
        counts["pixels_wrong"] += int((read_back(lines, tags.shape) != tags).sum())
        counts["ignored_pixels_unlabelled"] += int((image.labels == classes.ignore).sum())
    content = {"train": "images", "val": "images", "names": dict(enumerate(classes.names))}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (path / "data.yaml").write_text(text, encoding="utf-8")
    return counts


def polygon_lines(tags: NDArray[np.int64]) -> tuple[list[str], int]:
    """Return the lines for ``tags (Y, X)``, and the number of holes cut open."""
    size = tags.shape[::-1]
    lines, holes = [], 0
    for tag in np.unique(tags[tags != UNLABELLED]).tolist():
        pieces, holes_here = polygons(tags == tag)
        holes += holes_here
        for points in pieces:
            lines.append(f"{tag} " + " ".join(f"{share:.6f}" for share in (points / size).ravel().tolist()))
    return lines, holes


def read_back(lines: Sequence[str], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Paint tags ``(Y, X)`` from lines with Pillow."""
    height, width = shape
    canvas = Image.new("I", (width, height), UNLABELLED)
    for line in lines:
        tag, *shares = line.split()
        points = np.array(shares, np.float64).reshape(-1, 2) * (width, height)
        ImageDraw.Draw(canvas).polygon(points.ravel().tolist(), fill=int(tag))
    return np.asarray(canvas).astype(np.int64)
