"""Your own data, annotated with labelme: a JSON file beside each image. Layout and choices: labelme.md.

Shapes: Y X pixels.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tag2mask.data.classes import Classes
from tag2mask.data.opening import open_image, require_size
from tag2mask.data.sources.outlines import require_near
from tag2mask.data.sources.own import BACKGROUND_LABEL, IGNORE_LABEL, OutlineSettings, read_splits
from tag2mask.data.sources.record import LabelImage, Record, Source
from tag2mask.data.tags_table import indices
from tag2mask.errors import DataError
from tag2mask.files import is_file, regular
from tag2mask.names import inside
from tag2mask.notation import from_json

LINE, POINT = 10, 5  # width of a line and radius of a point in pixels, as in labelme
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Page:
    """The content of a JSON file except its outlines; ``embedded``: the image is stored only in that file."""

    path: Path
    image: Path
    labels: frozenset[str]
    embedded: bool


class LabelMe(Source):
    """Classes are the labels in use, sorted; ``flags`` that are set are tags too."""

    settings_class = OutlineSettings
    settings: OutlineSettings
    layout = "ROOT/NAME.json beside ROOT/NAME.jpg, also in sub-folders; each JSON has imagePath and shapes"

    def __init__(self, root: Path, settings: OutlineSettings) -> None:
        paths = {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(root.rglob("*.json"))}
        if not paths:
            raise DataError(f"{root}: holds no .json; expected: {self.layout}")
        self.settings, self.bands, self.root = settings, settings.bands, root
        self.unreadable: dict[str, DataError] = {}
        self.pages: dict[str, Page] = {}
        for name, path in paths.items():
            try:
                self.pages[name] = page_of(root, path, read_page(path))
            except DataError as error:  # raised when this image is read, so that the others can be used
                self.unreadable[name] = error
        labels = {label for page in self.pages.values() for label in page.labels}
        if not labels:
            why = next(iter(self.unreadable.values()), "no shape has a label")
            raise DataError(f"{root}: there are no classes ({why}); expected: {self.layout}")
        self.classes = Classes(tuple(sorted(labels)), "background" if settings.background else None)
        self.index = indices(self.classes.names)
        self.splits = read_splits(root, paths)

    def names(self) -> Sequence[str]:
        """Return the names of the JSON files without suffix, sorted."""
        return sorted([*self.pages, *self.unreadable])

    def record(self, name: str) -> Record:
        """Return an image with the labels of its shapes and flags; without shapes it has no truth."""
        if name in self.unreadable:
            raise self.unreadable[name]
        page = self.pages[name]
        content = read_page(page.path)
        tags = tuple(sorted(self.index[label] for label in page.labels))
        encoded = embedded_image(page.path, content) if page.embedded else None
        record = Record(name, page.path if page.embedded else page.image, tags, content=encoded)
        if not content["shapes"]:
            return record
        return replace(record, truth=lambda: draw(page.path, content, self.size_of(record, content), self.classes))

    def size_of(self, record: Record, content: Mapping[str, Any]) -> tuple[int, int]:
        """Return height and width from the file, or from the image if they are missing, as in labelme 3."""
        height, width = content.get("imageHeight"), content.get("imageWidth")
        if isinstance(height, int) and isinstance(width, int):
            return height, width
        if height is not None or width is not None:
            raise DataError(f"{self.pages[record.name].path}: imageHeight and imageWidth must be integers")
        pixels = record.pixels(self.bands)
        return pixels.shape[0], pixels.shape[1]


def read_page(path: Path) -> dict[str, Any]:
    """Read a JSON file.

    Raises:
        DataError: it is not JSON, or not a labelme file.
    """
    try:
        content = from_json(regular(path).read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not readable JSON ({error})") from None
    if not isinstance(content, dict) or "imagePath" not in content or not isinstance(content.get("shapes"), list):
        raise DataError(f"{path}: is not a labelme file: imagePath or shapes is missing")
    return content


def page_of(root: Path, path: Path, content: Mapping[str, Any]) -> Page:
    """Return the image's path and the labels of a JSON file."""
    try:
        labels = {str(shape["label"]) for shape in content["shapes"]} - {BACKGROUND_LABEL, IGNORE_LABEL}
        flags = {str(name) for name, is_set in (content.get("flags") or {}).items() if is_set}
        image = inside(root, str(content["imagePath"]).replace("\\", "/"), f"{path}, imagePath", path.parent)
        return Page(path, image, frozenset(labels | flags), bool(content.get("imageData")) and not is_file(image))
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: a shape cannot be parsed ({error})") from None


def embedded_image(path: Path, content: Mapping[str, Any]) -> bytes:
    """Decode the image file in ``imageData``.

    Raises:
        DataError: it is not base64.
    """
    try:
        return decode_base64(content["imageData"])
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path}: imageData is not base64 ({error}), and imagePath is not a file") from None


def decode_base64(text: str) -> bytes:
    """Decode base64, which old writers break into lines."""
    return base64.b64decode("".join(text.split()), validate=True)


def draw(path: Path, content: Mapping[str, Any], size: tuple[int, int], classes: Classes) -> LabelImage:
    """Draw the label image ``(Y, X)``: shapes in file order, later ones on top.

    Pixels outside all shapes are background, or ignore if the classes have no background.

    Raises:
        DataError: a shape is of an unknown kind, or its points are invalid.
    """
    nothing = 0 if classes.background else classes.ignore
    values = {name: index + classes.offset for index, name in enumerate(classes.names)}
    values |= {BACKGROUND_LABEL: nothing, IGNORE_LABEL: classes.ignore}
    try:
        require_size(path, *size)
        labels = np.full(size, nothing, np.int64)
        for shape in content["shapes"]:
            kind = shape.get("shape_type") or "polygon"
            if kind not in BRUSHES and kind != "mask":
                raise DataError(f"{path}: shape_type {kind!r} is unknown; there are mask, {', '.join(BRUSHES)}")
            labels[region(shape, kind, labels.shape)] = values[str(shape["label"])]
    except DataError:
        raise
    except Exception as error:  # a damaged mask can end its decoder in any of Python's errors
        raise DataError(f"{path}: a shape cannot be drawn ({error!r})") from None
    return labels


def region(shape: Mapping[str, Any], kind: str, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the pixels of a shape."""
    points = [(float(x), float(y)) for x, y in shape["points"]]
    require_near(points, size)
    if kind == "mask":
        return paste_mask(shape["mask"], points, size)
    canvas = Image.new("1", (size[1], size[0]))
    BRUSHES[kind](ImageDraw.Draw(canvas), points)
    return np.asarray(canvas)


def paste_mask(coded: str, points: Sequence[Point], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Paste a base64 PNG with its corner at the first point; all values but 0 are inside (labelme writes 0 and 1)."""
    with open_image(Path("mask"), decode_base64(coded)) as image:
        if len(image.getbands()) > 1:
            raise ValueError(f"a mask with {len(image.getbands())} bands")
        stamp = Image.fromarray(np.asarray(image) != 0)
    canvas = Image.new("1", (size[1], size[0]))
    canvas.paste(stamp, (round(points[0][0]), round(points[0][1])))
    return np.asarray(canvas)


def polygon(canvas: ImageDraw.ImageDraw, points: Sequence[Point]) -> None:
    """Draw a polygon of at least three corners."""
    if len(points) < 3:
        raise ValueError("a polygon with fewer than 3 points")
    canvas.polygon(list(points), fill=1, outline=1)


def oriented_rectangle(canvas: ImageDraw.ImageDraw, points: Sequence[Point]) -> None:
    """Draw a rectangle from its four corners in order."""
    if len(points) != 4:
        raise ValueError(f"an oriented rectangle with {len(points)} points")
    polygon(canvas, points)


def rectangle(canvas: ImageDraw.ImageDraw, points: Sequence[Point]) -> None:
    """Draw a rectangle from two opposite corners, in any order."""
    (left, top), (right, bottom) = points
    canvas.rectangle((min(left, right), min(top, bottom), max(left, right), max(top, bottom)), fill=1, outline=1)


def circle(canvas: ImageDraw.ImageDraw, points: Sequence[Point]) -> None:
    """Draw a disc from its centre and a point on its edge."""
    (x, y), rim = points
    radius = math.dist((x, y), rim)
    canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1, outline=1)


def line(canvas: ImageDraw.ImageDraw, points: Sequence[Point]) -> None:
    """Draw a line through all points."""
    canvas.line(list(points), fill=1, width=LINE)


def dot(canvas: ImageDraw.ImageDraw, points: Sequence[Point]) -> None:
    """Draw a disc around each point."""
    for x, y in points:
        canvas.ellipse((x - POINT, y - POINT, x + POINT, y + POINT), fill=1, outline=1)


Brush = Callable[[ImageDraw.ImageDraw, Sequence[Point]], None]
BRUSHES: Mapping[str, Brush] = MappingProxyType(
    {
        "polygon": polygon,
        "rectangle": rectangle,
        "oriented_rectangle": oriented_rectangle,
        "circle": circle,
        "line": line,
        "linestrip": line,
        "point": dot,
        "points": dot,
    }
)
