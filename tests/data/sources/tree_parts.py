"""What small trees are made of: noise, masks, outlines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tag2mask.data.classes import voc_colours

SIDE = 32


@dataclass(frozen=True)
class Tree:
    """What is in a tree: tags by image, one whole label image, lists, and what to break."""

    root: Path
    tags: Mapping[str, tuple[str, ...] | None]
    truth: Mapping[str, NDArray[Any]]
    splits: Mapping[str, tuple[str, ...]]
    image: Path  # of the first name, or the file that holds it
    essential: Path  # without it the root is wrong
    background: str | None = "background"
    settings: Mapping[str, Any] = field(default_factory=dict)
    listed: bool = True  # a list names the images, so that a missing one is noticed
    embed: Callable[[bytes | None], None] | None = None  # puts these bytes where the image stands in its file

    def spoil(self, content: bytes | None) -> None:
        """Other bytes instead of the image, or nothing."""
        if self.embed is not None:
            self.embed(content)
        elif content is None:
            self.image.unlink()
        else:
            self.image.write_bytes(content)


def noise(seed: int, height: int = SIDE, width: int = SIDE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save_image(path: Path, seed: int, height: int = SIDE, width: int = SIDE) -> Path:
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
