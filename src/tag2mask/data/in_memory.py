"""Images in memory: Pillow images, NumPy arrays or torch tensors.

Shapes: Y X pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from tag2mask.data.classes import BACKGROUND, parse_classes
from tag2mask.data.reading import fill_missing, from_pillow, read_image, require_usable_pixels, scale_values
from tag2mask.data.sample import Sample
from tag2mask.data.settings import DataSettings
from tag2mask.data.tags_table import indices, tag_index
from tag2mask.errors import DataError

if TYPE_CHECKING:  # ONNX files are also used where torch is not installed
    from torch import Tensor

Image: TypeAlias = "str | Path | Pillow.Image | NDArray[Any] | Tensor"


def scaled_image(image: Image, settings: DataSettings, where: str = "the image") -> NDArray[np.float32]:
    """Return an image ``(bands, Y, X)`` in [0, 1], from a file, a Pillow image, an array or a tensor (``pixels_of``).

    Raises:
        DataError: it cannot be read, has another number of bands, or the range of its values is unknown.
    """
    path = Path(image) if isinstance(image, str | Path) else Path(where)
    return scale_values(path, pixels_of(image, settings, where), settings)


def pixels_of(image: Image, settings: DataSettings, where: str = "the image") -> NDArray[Any]:
    """Return raw values ``(Y, X, bands)``.

    An array or tensor is ``(Y, X)``, ``(Y, X, bands)`` or ``(bands, Y, X)``. Where both of the latter are possible, the
    bands of an array are last and those of a tensor first. A single band is repeated if three are expected. Integers
    span the range of their dtype; floats are in [0, 1] unless the settings clip them.

    Raises:
        DataError: it is none of these.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image), settings.bands)
    path = Path(where)
    if isinstance(image, Pillow.Image):
        pixels = from_pillow(path, image, settings.bands)
        return fill_missing(path, pixels) if isinstance(pixels, np.ma.MaskedArray) else pixels
    first = not isinstance(image, np.ndarray)
    values = image if isinstance(image, np.ndarray) else values_of(image, where)
    pixels = require_usable_pixels(path, bands_last(values, settings.bands, first, where))
    if pixels.dtype.kind == "f" and settings.clip is None and (pixels.min() < 0 or pixels.max() > 1):
        low, high = pixels.min(), pixels.max()
        raise DataError(f"{where}: holds floats from {low:.4g} to {high:.4g}; pass integers, or floats from 0 to 1")
    return pixels


def values_of(tensor: Any, where: str) -> NDArray[Any]:
    """Return the values of a tensor; bfloat16, which numpy lacks, as float32.

    Raises:
        DataError: it is not a tensor.
    """
    if not all(hasattr(tensor, name) for name in ("detach", "cpu", "dtype")):
        raise DataError(
            f"{where}: is {type(tensor).__name__}, expected a path, a Pillow image, a numpy array or a torch tensor"
        )
    values = tensor.detach().cpu()
    return np.asarray(values.float() if str(values.dtype) == "torch.bfloat16" else values)


def bands_last(values: NDArray[Any], bands: int, first: bool, where: str) -> NDArray[Any]:
    """Return ``(Y, X, bands)``; if the bands could be first or last, they are first if ``first`` is set.

    Raises:
        DataError: the values have another number of bands.
    """
    if values.ndim == 2:
        values = values[..., None]
        first = False
    if values.ndim == 3:
        places = [0, 2] if first else [2, 0]
        for place in places:
            if values.shape[place] == bands:
                return values if place == 2 else np.moveaxis(values, 0, 2)
            if values.shape[place] == 1 and bands == 3:
                return np.repeat(values if place == 2 else np.moveaxis(values, 0, 2), 3, 2)
    raise DataError(f"{where}: has shape {values.shape}, expected (height, width, {bands}) or ({bands}, height, width)")


class Pairs:
    """Images in memory with their tags, as a data set."""

    def __init__(
        self,
        pairs: Iterable[tuple[Image, Sequence[str]]],
        settings: DataSettings,
        classes: Sequence[str] | None = None,
        what: str = "image",
    ) -> None:
        """Read the images.

        ``classes`` are all classes, by default the sorted tags; if the first is ``background``, it is the background.

        Raises:
            DataError: there are no pairs, an image cannot be read, or a tag or class cannot be used.
        """
        if classes is not None:
            classes = require_names(classes, "classes")
        given = [require_pair(pair, f"{what}-{index:05}") for index, pair in enumerate(pairs)]
        if classes is None and not any(tags for _, tags in given):
            raise DataError("no image has a tag: the list of images is empty, or all its lists of tags are")
        names = sorted({tag for _, tags in given for tag in tags}) if classes is None else classes
        if BACKGROUND in (names if classes is None else names[1:]):
            raise DataError(f"{BACKGROUND} is not a tag: name it first in classes, for pixels that have no class")
        self.classes = parse_classes(names, "classes" if classes is not None else "the tags")
        self.samples = [
            Sample(
                name := f"{what}-{index:05}",
                Path(image) if isinstance(image, str | Path) else Path(name),
                self.indices(tags, name),
                pixels=None if isinstance(image, str | Path) else pixels_of(image, settings, name),
            )
            for index, (image, tags) in enumerate(given)
        ]

    def indices(self, tags: Sequence[str], where: str) -> tuple[int, ...]:
        """Return the tags as sorted class indices.

        Raises:
            DataError: a tag is not a class.
        """
        return tuple(sorted({tag_index(tag, indices(self.classes.names), where) for tag in tags}))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)


def require_pair(pair: Any, where: str) -> tuple[Image, Sequence[str]]:
    """Check that ``pair`` is an image and a list of names.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise DataError(f"{where}: is {type(pair).__name__}, expected a pair (image, [name, ...])")
    return pair[0], require_names(pair[1], f"{where}: its tags")


def require_names(names: Any, where: str) -> Sequence[str]:
    """Check that ``names`` is a list of texts.

    Raises:
        DataError: it is something else, such as a single text.
    """
    if not isinstance(names, list | tuple | set | frozenset) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{where} are {names!r:.60}, expected a list of names such as ['cow', 'grass']")
    return tuple(names)
