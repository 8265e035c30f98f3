"""Conversion of masks to other formats. A new format is a file here and a line in ``CONVERTERS``, or an entry point.

Entry points: docs/plugins.md.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tag2mask.data.folder import IMAGE_SUFFIXES, require_outside
from tag2mask.errors import DataError, MaskSetError, SettingsError
from tag2mask.exporters.coco import write_coco
from tag2mask.exporters.cvat import write_cvat
from tag2mask.exporters.geotiff import write_geotiffs
from tag2mask.exporters.label_images import LabelImage, places_of_images, read_label_images
from tag2mask.exporters.npz import write_npz
from tag2mask.exporters.png import write_png
from tag2mask.exporters.voc import write_voc
from tag2mask.exporters.yolo import write_yolo
from tag2mask.files import delete, in_one_move, reserved, vacant
from tag2mask.masks.write import MaskSet, open_finished, with_corrections
from tag2mask.progress import Bar, progress_bar
from tag2mask.registry import Registry
from tag2mask.shown import Shown, counted

__all__ = ["CONVERTERS", "Conversion", "Converter", "LabelImage", "convert"]


@dataclass(frozen=True)
class Converter:
    """A format: the function that writes it and returns counts for the user, and the suffix of its file ("": a folder).

    ``extra`` is the extra that it needs (``pip install 'tag2mask[EXTRA]'``), ``module`` a module that this installs.
    """

    write: Callable[[Path, MaskSet, Iterable[LabelImage]], Counter[str]]
    suffix: str = ""
    extra: str | None = None
    module: str = ""


CONVERTERS: Mapping[str, Converter] = Registry(
    "tag2mask.converters",
    {
        "coco": Converter(write_coco, ".json", "coco", "pycocotools"),
        "yolo": Converter(write_yolo),
        "cvat": Converter(write_cvat, ".zip"),
        "voc": Converter(write_voc),
        "png": Converter(write_png),
        "geotiff": Converter(write_geotiffs, "", "geo", "rasterio"),
        "npz": Converter(write_npz),
    },
    lambda found: "" if isinstance(found, Converter) else "is not a Converter",
)


@dataclass(frozen=True)
class Conversion:
    """The result: the file or folder, the number of masks, and the format's own counts."""

    path: Path
    to: str
    images: int
    counts: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the result for ``--json``."""
        return {"converted": str(self.path), "to": self.to, "images": self.images, **self.counts}

    def shown(self) -> Shown:
        """Return the result for printing."""
        counts = (f"{name.replace('_', ' ')} {count}" for name, count in self.counts.items())
        return [f"{self.path}: " + ", ".join([f"{counted(self.images, 'mask')} as {self.to}", *counts])]


def convert(
    mask_set: Path,
    to: str,
    out: Path,
    images: Path | None = None,
    suffix: str | None = None,
    corrections: Path | None = None,
) -> Conversion:
    """Write the masks of a finished mask set in another format.

    ``images`` is the folder of the images, if they were moved; ``suffix`` is assumed for images that no longer exist.
    Masks in ``corrections`` replace the painted ones; rejected images are left out.

    Raises:
        SettingsError: the format is unknown, its extra is missing, ``out`` must have another suffix, or ``suffix`` is
            not that of an image.
        MaskSetError: ``mask_set`` is not a mask set, not finished or damaged, or ``out`` is not empty.
        DataError: the format needs images that are missing, or cannot represent the masks, or ``out`` is inside the
            folder of images.
    """
    converter = require_converter(to, out)
    opened = with_corrections(open_finished(mask_set), corrections)
    if images is not None and not images.is_dir():
        raise DataError(f"{images}: the folder does not exist; give the one that holds the images")
    if suffix is not None and suffix.lower() not in IMAGE_SUFFIXES:
        raise SettingsError(f"--suffix {suffix}: expected one of {', '.join(sorted(IMAGE_SUFFIXES))}")
    for place in [] if converter.suffix else places_of_images(opened, images):
        require_outside(out, place)
    total = len(opened.names())
    with new_place(out) as beside, progress_bar(to, total) as bar:
        if not converter.suffix:
            beside.mkdir()
        counts = converter.write(beside, opened, advance_bar(read_label_images(opened, images, suffix), bar))
    return Conversion(out, to, total, counts)


def advance_bar(label_images: Iterable[LabelImage], bar: Bar) -> Iterator[LabelImage]:
    """Yield the label images, advancing the bar after each."""
    for image in label_images:
        yield image
        bar.advance()


def require_converter(to: str, out: Path) -> Converter:
    """Return the converter of a format, after checking its extra and the suffix of ``out``."""
    if to not in CONVERTERS:
        raise SettingsError(f"format {to!r} is unknown; there are {', '.join(CONVERTERS)}")
    converter = CONVERTERS[to]
    if converter.extra and importlib.util.find_spec(converter.module) is None:
        raise SettingsError(f"{to} needs the extra {converter.extra}: pip install 'tag2mask[{converter.extra}]'")
    if converter.suffix and out.suffix != converter.suffix:
        raise SettingsError(f"--out {out}: {to} is a single file; give a name that ends in {converter.suffix}")
    return converter


@contextmanager
def new_place(out: Path) -> Iterator[Path]:
    """Yield a temporary path for a file or folder, which replaces ``out`` at the end, or is deleted on an error.

    Raises:
        MaskSetError: ``out`` is not empty.
        RunError: another process writes it.
    """
    with reserved(out):
        if not vacant(out):
            raise MaskSetError(f"{out} exists and is not empty; choose another --out or delete it")
        with in_one_move(out) as beside:
            yield beside
            if out.is_dir():
                delete(out)  # it is empty, or holds only our temporary files
