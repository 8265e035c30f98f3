"""A world of a thousand classes: blots of two-coloured patterns on gray ground, with exact truth.

A class is a pair of hues and a pattern, so that no single one of them tells it. Shapes: S side of an image in pixels.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tag2mask.data.classes import Classes
from tag2mask.synthetic.folder import Composed, write_folder
from tag2mask.synthetic.noise import smooth

HUES = 16
Where = NDArray[np.bool_]
Grid = NDArray[np.int64]

# Rows and columns of pixels to where the second of two colours is.
PATTERNS: MappingProxyType[str, Callable[[Grid, Grid], Where]] = MappingProxyType(
    {
        "rows": lambda y, x: y // 2 % 2 == 0,
        "columns": lambda y, x: x // 2 % 2 == 0,
        "falling": lambda y, x: (x + y) // 2 % 2 == 0,
        "rising": lambda y, x: (x - y) // 2 % 2 == 0,
        "checks": lambda y, x: (x // 2 + y // 2) % 2 == 0,
        "bands": lambda y, x: y // 5 % 2 == 0,
        "bars": lambda y, x: x // 5 % 2 == 0,
        "squares": lambda y, x: (x // 5 + y // 5) % 2 == 0,
        "dots": lambda y, x: (x % 4 < 2) & (y % 4 < 2),
    }
)
KINDS = tuple(product(combinations(range(HUES), 2), PATTERNS))


def texture_classes(count: int) -> Classes:
    """Return ``count`` of the 1,080 classes, evenly from all."""
    kinds = [KINDS[index * len(KINDS) // count] for index in range(count)]
    return Classes(tuple(f"{pattern}-{first}-{second}" for (first, second), pattern in kinds), "background")


def write_textures(root: Path, counts: dict[str, int], classes: int = 1000, side: int = 64, seed: int = 0) -> None:
    """Write a ``folder`` data set, ``counts`` images per split, each with one to three classes."""
    generator = np.random.default_rng(seed)
    known = texture_classes(classes)
    write_folder(root, known, counts, lambda _: compose_textures(known, side, generator))


def compose_textures(classes: Classes, side: int, generator: np.random.Generator) -> Composed:
    """Compose an image ``(S, S, 3)`` and its truth ``(S, S)``: 0 is ground, class + 1 a class."""
    y, x = np.indices((side, side))
    image = np.repeat((0.5 + 0.1 * smooth(side, side / 12, generator))[..., None], 3, 2)
    truth = np.zeros((side, side), np.int64)
    for index in generator.choice(len(classes), generator.integers(1, 4), replace=False):
        pattern, first, second = classes.names[index].split("-")
        top, left = generator.uniform(0.2, 0.8, 2) * side
        radius = generator.uniform(0.18, 0.3) * side
        inside = np.hypot(y - top, x - left) < radius * (1 + 0.15 * smooth(side, side / 8, generator))
        shift = generator.integers(0, 20, 2)
        is_second = PATTERNS[pattern](y + shift[0], x + shift[1])
        image[inside] = np.where(is_second[..., None], rgb_of_hue(int(second)), rgb_of_hue(int(first)))[inside]
        truth[inside] = index + 1
    image = image * generator.uniform(0.8, 1.1) + generator.normal(0, 0.02, image.shape)
    return (image.clip(0, 1) * 255).astype(np.uint8), truth


def rgb_of_hue(hue: int) -> NDArray[np.float64]:
    """Return the red, green and blue of a hue; every second one is darker."""
    return np.array(colorsys.hsv_to_rgb(hue / HUES, 0.9, 1.0 if hue % 2 else 0.6))
