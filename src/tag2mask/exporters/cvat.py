"""CVAT's "Segmentation mask 1.1": a zip to import into a task or project with the same labels.

::

    labelmap.txt                        label:color_rgb:parts:actions
    ImageSets/Segmentation/default.txt  names, one per line
    SegmentationClass/NAME.png          colours of labels
    SegmentationObject/NAME.png         one colour per class in the image; CVAT leaves black pixels unlabelled
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tag2mask.data import Classes
from tag2mask.data.classes import voc_colours
from tag2mask.errors import DataError
from tag2mask.exporters.label_images import LabelImage
from tag2mask.exporters.labelmap import labelmap
from tag2mask.masks.write import MaskSet

MOST_LABELS = 255  # besides background; Datumaro, CVAT's reader, numbers labels and objects in 8 bits


def write_cvat(path: Path, mask_set: MaskSet, label_images: Iterable[LabelImage]) -> Counter[str]:
    """Write all masks as colour images. Ignore becomes background, since CVAT rejects colours not in the labelmap.

    Raises:
        DataError: there are too many classes, or the name of one cannot be written to the labelmap.
    """
    classes = mask_set.classes
    require_few(classes)
    counts = Counter(ignored_pixels_unlabelled=0)
    values = len(classes.pixel_names)
    colours = np.concatenate([classes.colours(values), np.zeros((1, 3), np.uint8)])
    names = []
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("labelmap.txt", labelmap(classes))
        for image in label_images:
            labels = np.where(image.labels == classes.ignore, values, image.labels)
            archive.writestr(f"SegmentationClass/{image.name}.png", png(colours[labels]))
            archive.writestr(f"SegmentationObject/{image.name}.png", png(objects(colours[labels])))
            counts["ignored_pixels_unlabelled"] += int((labels == values).sum())
            names.append(image.name)
        archive.writestr("ImageSets/Segmentation/default.txt", "".join(f"{name}\n" for name in names))
    return counts


def require_few(classes: Classes) -> None:
    """Check that CVAT's masks can number all classes.

    Raises:
        DataError: there are too many.
    """
    if len(classes) > MOST_LABELS:
        raise DataError(
            f"CVAT's masks can have {MOST_LABELS} labels, but there are {len(classes)}; use coco, which CVAT also reads"
        )


def objects(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Map colours ``(Y, X, 3)`` of labels to colours of objects: the image's first class, its second and so on."""
    found, numbers = np.unique(pixels.reshape(-1, 3) @ np.array([1, 256, 65536]), return_inverse=True)
    numbers = numbers if found[0] == 0 else numbers + 1  # black stays black
    return np.asarray(voc_colours(len(found) + 1)[numbers].reshape(pixels.shape))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return an RGB image ``(Y, X, 3)`` as the bytes of a PNG."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()
