"""Label images as files."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tag2mask.data.classes import Classes
from tag2mask.files import write_bytes


def write_mask(path: Path, labels: NDArray[np.int64], classes: Classes) -> None:
    """Write a label image atomically: indexed with the classes' palette, or 16-bit gray if there are many classes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, mask_png(labels, classes))


def mask_png(labels: NDArray[np.int64], classes: Classes) -> bytes:
    """Encode a label image."""
    if classes.ignore == 255:
        image = Image.fromarray(labels.astype(np.uint8))
        image.putpalette(classes.palette().ravel().tolist())
    else:
        image = Image.fromarray(labels.astype(np.uint16))
    content = BytesIO()
    image.save(content, format="PNG")
    return content.getvalue()
