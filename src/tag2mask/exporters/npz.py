"""NumPy archives: one ``NAME.npz`` per image, readable with ``numpy.load`` without pickle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tag2mask.exporters.label_images import LabelImage
from tag2mask.masks.write import MaskSet


def write_npz(path: Path, mask_set: MaskSet, label_images: Iterable[LabelImage]) -> Counter[str]:
    """Write all masks as ``labels (Y, X)``, 8 or 16 bits, with ``classes`` (names by pixel value) and ``ignore``."""
    classes = mask_set.classes
    dtype = np.uint8 if classes.ignore == 255 else np.uint16
    names = np.array(classes.pixel_names)
    for image in label_images:
        file = path / f"{image.name}.npz"
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, labels=image.labels.astype(dtype), classes=names, ignore=dtype(classes.ignore))
    return Counter()
