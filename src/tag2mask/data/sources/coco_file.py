"""Reading a JSON file of COCO instances, and drawing label images from it.

Shapes: Y X pixels.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tag2mask.data.classes import Classes
from tag2mask.data.folder import strip_suffix
from tag2mask.data.opening import require_size
from tag2mask.data.sources.outlines import require_near, require_runs
from tag2mask.data.sources.record import LabelImage
from tag2mask.errors import DataError
from tag2mask.files import regular
from tag2mask.notation import from_json


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object or crowd: the category's id (not its index), and polygons or a run-length code."""

    image: int
    category: int
    crowd: bool
    segmentation: list[array[float]] | dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One entry of ``images``."""

    id: int
    file: str
    height: int
    width: int


class CocoFile:
    """One JSON file, read once; polygons are kept in arrays, which take a quarter of the memory of lists."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            DataError: it is not JSON or not COCO instances, or an annotation has an unknown id.
        """
        require_pycocotools(path)
        self.path = path
        try:
            content = from_json(regular(path).read_bytes(), compact)
            self.categories = {int(row["id"]): str(row["name"]) for row in content["categories"]}
            self.groups = {str(row.get("supercategory")) for row in content["categories"] if not is_own_group(row)}
            rows = [
                ImageRow(int(r["id"]), str(r["file_name"]), int(r["height"]), int(r["width"]))
                for r in content["images"]
            ]
            annotations: list[Annotation] = list(content["annotations"])
        except FileNotFoundError:
            raise DataError(f"{path} is missing") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        except KeyError as error:
            raise DataError(f"{path}: is not a COCO instances file: {error} is missing") from None
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise DataError(f"{path}: is not a COCO instances file: {error}") from None
        if not self.categories:
            raise DataError(f"{path}: names no category")
        self.images = self.by_name(rows)
        self.annotations = self.by_image(annotations, {row.id for row in rows})

    def by_name(self, rows: Sequence[ImageRow]) -> dict[str, ImageRow]:
        """Return images by file name without suffix."""
        found: dict[str, ImageRow] = {}
        for row in rows:
            name = strip_suffix(row.file.replace("\\", "/"))
            if name in found:
                raise DataError(f"{self.path}: two images are named {name}; masks are named after images")
            found[name] = row
        return found

    def by_image(self, annotations: Sequence[Annotation], known: set[int]) -> Mapping[int, list[Annotation]]:
        """Return annotations by image id."""
        found: defaultdict[int, list[Annotation]] = defaultdict(list)
        for number, one in enumerate(annotations):
            if not isinstance(one, Annotation):
                raise DataError(f"{self.path}: annotation {number} has no image_id and category_id")
            for kind, value, ids in (("image", one.image, known), ("category", one.category, self.categories)):
                if value not in ids:
                    raise DataError(
                        f"{self.path}: annotation {number} refers to {kind} id {value}, which does not exist"
                    )
            found[one.image].append(one)
        return dict(found)

    def tags(self, name: str, index: Mapping[int, int]) -> tuple[int, ...]:
        """Return the classes of an image's objects and crowds; ``index`` maps category ids to class indices."""
        return tuple(sorted({index[one.category] for one in self.of(name) if one.category in index}))

    def used(self) -> set[int]:
        """Return the ids of all categories with annotations."""
        return {one.category for annotations in self.annotations.values() for one in annotations}

    def of(self, name: str) -> list[Annotation]:
        """Return an image's annotations."""
        return self.annotations.get(self.images[name].id, [])

    def is_drawn(self, name: str) -> bool:
        """Whether every object of an image has an outline; boxes alone do not give a label image."""
        return all(one.segmentation for one in self.of(name))

    def draw(self, name: str, values: Mapping[int, int], classes: Classes) -> LabelImage:
        """Draw the label image ``(Y, X)``; ``values`` maps category ids to pixel values.

        Crowds are drawn first, as ignore, then objects from large to small. Uncovered pixels are background, or ignore
        if the classes have no background.
        """
        image = self.images[name]
        size = (image.height, image.width)
        require_size(self.path, *size)
        labels = np.full(size, 0 if classes.background else classes.ignore, np.int64)
        regions = [(one, self.region(one, size)) for one in self.of(name)]
        for one, region in sorted(regions, key=lambda pair: (not pair[0].crowd, -int(pair[1].sum()))):
            labels[region] = classes.ignore if one.crowd else values[one.category]
        return labels

    def region(self, one: Annotation, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the pixels of one annotation."""
        from pycocotools import mask as rle

        try:
            if isinstance(one.segmentation, dict):
                coded: Any = one.segmentation
                require_runs(coded, size)
                if isinstance(coded["counts"], list):
                    coded = rle.frPyObjects(coded, *size)
            else:  # pycocotools takes four numbers for a box
                polygons = [list(polygon) for polygon in one.segmentation or [] if len(polygon) >= 6]
                if not polygons:
                    return np.zeros(size, bool)
                for polygon in polygons:
                    require_near(polygon, size)
                coded = rle.merge(rle.frPyObjects(polygons, *size))
            return np.asarray(rle.decode(coded), bool)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise DataError(f"{self.path}: an outline of image id {one.image} cannot be drawn ({error})") from None


def compact(row: dict[str, Any]) -> Any:
    """Reduce a parsed JSON object to an ``Annotation`` if it is one; return other objects unchanged."""
    if "image_id" not in row or "category_id" not in row:
        return row
    outline = row.get("segmentation")
    if isinstance(outline, list):
        outline = [array("d", polygon) for polygon in outline]
    return Annotation(int(row["image_id"]), int(row["category_id"]), bool(row.get("iscrowd", 0)), outline)


def is_own_group(row: Mapping[str, Any]) -> bool:
    """Whether a category has the same name as its supercategory, as COCO's person does."""
    return bool(row.get("supercategory") == row["name"])


def contiguous(categories: Mapping[int, str]) -> dict[int, int]:
    """Map category ids to indices, in file order."""
    return {category: index for index, category in enumerate(categories)}


def require_pycocotools(path: Path) -> None:
    """Check that the extra ``coco`` is installed.

    Raises:
        DataError: it is not.
    """
    try:
        import pycocotools  # noqa: F401
    except ImportError:
        raise DataError(f"{path}: COCO outlines need the extra coco: pip install 'tag2mask[coco]'") from None
