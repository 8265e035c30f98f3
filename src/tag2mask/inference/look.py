"""The engine: runs a network on images of equal size, at every scale, mirrored or not, whole or in windows.

Shapes: B batch, C classes, K channels, h w cells of the network's output, Y X pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, Protocol

import numpy as np

from tag2mask.data.resizing import scaled_size, short_side
from tag2mask.inference.arrays import A, Arrays, Floats
from tag2mask.inference.settings import LookSettings
from tag2mask.inference.tiles import flush_starts, starts

STARTS: Mapping[str, Callable[[int, int, float], list[int]]] = MappingProxyType({"even": starts, "flush": flush_starts})


@dataclass(frozen=True)
class Seen(Generic[A]):
    """Output of a network for a batch: maps ``(B, K, h, w)``, and logits ``(B, C)`` if it has any."""

    maps: A
    scores: A | None = None


@dataclass(frozen=True)
class Window:
    """The part of an image that a network sees at once.

    A window has sides of ``crop`` pixels; if None, it is as large as the settings' ``max_patches`` allow. Windows
    overlap by the fraction ``overlap``. Where they do, their maps are averaged, with equal weights or with weights
    ``faded`` towards a window's edges.
    """

    crop: int | None
    overlap: float
    faded: bool


class Network(Protocol[A]):
    """A network that takes a batch of images ``(B, bands, Y, X)`` in [0, 1] and returns arrays.

    The short side of an image at scale 1 is ``side`` pixels. A patch of the network is ``patch`` pixels wide; a cell of
    its maps is ``cell`` pixels wide: a patch or 1 pixel.
    """

    arrays: Arrays[A]
    side: int
    patch: int
    cell: int
    window: Window

    def __call__(self, images: A) -> Seen[A]:
        """Run the network once on images whose sides are whole numbers of cells."""


def sum_maps(network: Network[A], images: Sequence[A], settings: LookSettings) -> Seen[A]:
    """Maps ``(B, K, Y, X)`` at the first scale's size, summed over looks, and the mean logits ``(B, C)``."""
    size = look_size(network, images[0], settings, settings.scales[0])
    total: A | None = None
    scores = []
    for seen in looks(network, images, settings):
        maps = network.arrays.bilinear(seen.maps, size)
        total = maps if total is None else total + maps
        scores.append(seen.scores)
    assert total is not None
    known = [each for each in scores if each is not None]
    return Seen(total, network.arrays.mean(known) if known else None)


def mean_probabilities(network: Network[A], images: Sequence[A], settings: LookSettings) -> A:
    """The mean of softmax(maps) over looks, ``(B, K, Y, X)`` at the size of scale 1."""
    size = look_size(network, images[0], settings, 1.0)
    total: A | None = None
    count = 0
    for seen in looks(network, images, settings):
        shares = network.arrays.softmax(network.arrays.bilinear(seen.maps, size))
        if total is None:
            total = shares
        else:
            total += shares
        count += 1
    assert total is not None
    total /= count
    return total


def looks(network: Network[A], images: Sequence[A], settings: LookSettings) -> Iterator[Seen[A]]:
    """Yield the network's output for images ``(bands, Y, X)`` at every scale, and mirrored; maps are mirrored back.

    Maps are in pixels of their scale; with ``edges: drop`` they are in cells of the network.
    """
    arrays = network.arrays
    for scale in settings.scales:
        size = look_size(network, images[0], settings, scale)
        batch = arrays.stack([arrays.resize(image, size) for image in images])
        for flipped in (False, True) if settings.flip else (False,):
            # Mirror before padding or cropping, which then also happens at the right and bottom edges.
            view = arrays.mirror(batch) if flipped else batch
            seen = by_windows(network, arrays.whole_cells(view, network.cell, settings.edges), settings)
            maps = seen.maps if settings.edges == "drop" else maps_to_pixels(network, seen.maps, size)
            yield Seen(arrays.mirror(maps) if flipped else maps, seen.scores)


def look_size(network: Network[A], image: A, settings: LookSettings, scale: float) -> tuple[int, int]:
    """Height and width of an image ``(bands, Y, X)`` at a scale."""
    height, width = image.shape[-2:]
    rounded = network.patch if settings.edges == "pad" else 1
    short = short_side(settings.side or network.side, height, width, rounded)
    return scaled_size(height, width, short, scale)


def finest_grid(settings: LookSettings, side: int, patch: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of patches of an image at the largest scale, without padding."""
    short = short_side(settings.side or side, height, width, patch)
    rows, columns = scaled_size(height, width, short, max(settings.scales))
    return max(round(rows / patch), 1), max(round(columns / patch), 1)


def maps_to_pixels(network: Network[A], maps: A, size: tuple[int, int]) -> A:
    """Resize maps from cells to pixels, and remove the padding."""
    h, w = maps.shape[-2:]
    pixels = network.arrays.bilinear(maps, (h * network.cell, w * network.cell))
    return pixels[..., : size[0], : size[1]]


def by_windows(network: Network[A], batch: A, settings: LookSettings) -> Seen[A]:
    """Maps on cells, blended where windows overlap, and each class's largest logit over the windows."""
    arrays, cell = network.arrays, network.cell
    B, h, w = len(batch), batch.shape[-2] // cell, batch.shape[-1] // cell
    high, wide = window_cells(network, h, w, settings)
    begin, overlap = STARTS[settings.windows], network.window.overlap if settings.overlap is None else settings.overlap
    corners = [(top, left) for top in begin(h, high, overlap) for left in begin(w, wide, overlap)]
    weights = np.ones((high, wide), np.float32)
    if network.window.faded and len(corners) > 1:
        weights = fade(high)[:, None] * fade(wide)
    covered_hw = np.zeros((h, w), np.float32)
    for top, left in corners:
        covered_hw[top : top + high, left : left + wide] += weights
    places = [(b, top, left) for top, left in corners for b in range(B)]
    patches = math.ceil(high * cell / network.patch) * math.ceil(wide * cell / network.patch)
    at_once = max(settings.max_patches // patches, 1)
    sums: A | None = None
    scores: list[A] = []
    for first in range(0, len(places), at_once):
        chosen = places[first : first + at_once]
        parts = [
            batch[b, :, top * cell : (top + high) * cell, left * cell : (left + wide) * cell] for b, top, left in chosen
        ]
        seen = network(arrays.stack(parts))
        if sums is None:
            sums = arrays.zeros((B, seen.maps.shape[1], h, w), seen.maps)
        weight = arrays.match(weights, seen.maps)
        for (b, top, left), maps in zip(chosen, seen.maps, strict=True):
            sums[b, :, top : top + high, left : left + wide] += maps * weight
        scores += [] if seen.scores is None else list(seen.scores)
    assert sums is not None
    sums /= arrays.match(covered_hw, sums)
    if not scores:
        return Seen(sums)
    by_corner = [arrays.stack(scores[first : first + B]) for first in range(0, len(scores), B)]
    return Seen(sums, arrays.largest(by_corner))


def window_cells(network: Network[A], h: int, w: int, settings: LookSettings) -> tuple[int, int]:
    """Height and width of a window in cells."""
    crop = network.window.crop
    if crop is not None:
        return min(crop // network.cell, h), min(crop // network.cell, w)
    patches = (network.cell / network.patch) ** 2 * h * w
    if patches <= settings.max_patches:
        return h, w
    side = max(math.isqrt(settings.max_patches) * network.patch // network.cell, 1)
    return min(side, h), min(side, w)


def fade(length: int) -> Floats:
    """Weights that decrease towards both ends, ``(length,)``."""
    place = np.arange(length)
    return np.minimum(place + 1, length - place).astype(np.float32)
