"""Writing generated images as a data set.

Shapes: S side of an image in pixels.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tag2mask.data.classes import Classes
from tag2mask.data.writing import write_mask

Composed = tuple[NDArray[np.uint8], NDArray[Any]]


def write_folder(root: Path, classes: Classes, counts: dict[str, int], compose: Callable[[str], Composed]) -> None:
    """Write a ``folder`` data set with ``counts`` images per split.

    ``compose`` makes an image ``(S, S, 3)`` of a split and its truth ``(S, S)`` of pixel values.
    """
    for folder in ("images", "masks", "splits"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "classes.txt").write_text("\n".join(classes.pixel_names) + "\n")
    rows, offset = [], classes.offset
    for split, count in counts.items():
        names = [f"{split}_{index:04d}" for index in range(count)]
        for name in names:
            image, truth = compose(split)
            Image.fromarray(image).save(root / "images" / f"{name}.png")
            write_mask(root / "masks" / f"{name}.png", truth.astype(np.int64), classes)
            rows.append(
                (f"{name}.png", ";".join(classes.pixel_names[value] for value in np.unique(truth) if value >= offset))
            )
        (root / "splits" / f"{split}.txt").write_text("\n".join(names) + "\n")
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "labels"), *rows])
