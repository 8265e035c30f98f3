"""Plain gray PNGs of class indices, which every library reads as numbers rather than colours.

::

    NAME.png        gray, 8 bits; 16 bits above 254 classes
    classes.json    names by index, background, ignore
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from tag2mask.exporters.label_images import LabelImage
from tag2mask.files import write_json
from tag2mask.masks.manifest import CLASSES
from tag2mask.masks.write import MaskSet


def write_png(path: Path, mask_set: MaskSet, label_images: Iterable[LabelImage]) -> Counter[str]:
    """Write all masks without a palette; the value ``ignore`` marks pixels without a class."""
    classes = mask_set.classes
    dtype = np.uint8 if classes.ignore == 255 else np.uint16
    for image in label_images:
        file = path / f"{image.name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.labels.astype(dtype)).save(file)
    write_json(path / CLASSES, classes.to_json())
    return Counter(bits=8 * np.dtype(dtype).itemsize, ignore=classes.ignore)
