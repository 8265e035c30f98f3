"""VOC's segmentation folders, without the images, which belong in ``JPEGImages``.

::

    SegmentationClass/NAME.png           indexed, 255 void; 16-bit gray, 65535 void, above 254 classes
    ImageSets/Segmentation/SPLIT.txt     names, one per line
    labels.txt                           names of the pixel values, one per line
    labelmap.txt                         names and colours, for CVAT and Datumaro, if the masks have colours
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tag2mask.data import Classes
from tag2mask.data.writing import write_mask
from tag2mask.errors import DataError
from tag2mask.exporters.label_images import LabelImage
from tag2mask.exporters.labelmap import labelmap
from tag2mask.masks.manifest import MANIFEST
from tag2mask.masks.write import MaskSet
from tag2mask.names import split_name


def write_voc(path: Path, mask_set: MaskSet, label_images: Iterable[LabelImage]) -> Counter[str]:
    """Write all masks unchanged; the count ``bits`` is 8 as in VOC, or 16.

    The count ``labelmap`` is 0 if ``labelmap.txt`` is not written: 16-bit masks have no colours, and some names do not
    fit in it.

    Raises:
        DataError: the manifest's split cannot name a file.
    """
    classes = mask_set.classes
    split = split_name(str(mask_set.manifest.get("settings", {}).get("split", "default")), mask_set.path / MANIFEST)
    names = []
    for image in label_images:
        write_mask(path / "SegmentationClass" / f"{image.name}.png", image.labels, classes)
        names.append(image.name)
    lists = path / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    (path / "labels.txt").write_text("".join(f"{name}\n" for name in classes.pixel_names), encoding="utf-8")
    colours = "" if classes.ignore > 255 else fitting_labelmap(classes)
    if colours:
        (path / "labelmap.txt").write_text(colours, encoding="utf-8")
    return Counter(bits=8 if classes.ignore == 255 else 16, labelmap=int(bool(colours)))


def fitting_labelmap(classes: Classes) -> str:
    """Return the labelmap, or "" if the classes do not fit; masks and ``labels.txt`` are complete without it."""
    try:
        return labelmap(classes, ignored=True)
    except DataError:
        return ""
