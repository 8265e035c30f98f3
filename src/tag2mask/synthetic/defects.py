"""Generated images of thin and small defects on textured surfaces, with tags by kind and exact truth.

Many images show no defect, as on a real production line. Shapes: S side of an image in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from tag2mask.data.classes import Classes
from tag2mask.synthetic.folder import Composed, write_folder
from tag2mask.synthetic.noise import smooth

CLASSES = Classes(("scratch", "crack", "pit", "stain"), "background")
SOUND = 0.25  # fraction of images without any defect
Values = NDArray[np.float64]


def write_defects(root: Path, counts: dict[str, int], side: int = 224, seed: int = 0) -> None:
    """Write a ``folder`` data set of gray images, ``counts`` per split, with at most two kinds of defects each."""
    generator = np.random.default_rng(seed)
    write_folder(root, CLASSES, counts, lambda _: compose_surface(side, generator))


def compose_surface(side: int, generator: np.random.Generator, sound: float = SOUND) -> Composed:
    """Compose one image ``(S, S, 3)`` and its truth ``(S, S)``: 0 is sound, kind + 1 a defect.

    ``sound`` is the probability that there is no defect.
    """
    image = textured_ground(side, generator)
    truth = np.zeros((side, side), np.uint8)
    if generator.random() >= sound:
        for kind in generator.choice(len(CLASSES), generator.integers(1, 3), replace=False):
            for _ in range(generator.integers(1, 4)):
                cover = DEFECTS[int(kind)](side, generator)
                depth = generator.choice([-1, 1]) * generator.uniform(0.18, 0.4)
                image += depth * cover
                truth[cover > 0.3] = kind + 1
    image = image * generator.uniform(0.85, 1.15) + generator.normal(0, 0.02, image.shape)
    gray = (image.clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, 2), truth


def textured_ground(side: int, generator: np.random.Generator) -> Values:
    """Draw brushed metal, woven cloth, concrete or wood, in uneven light."""
    y, x = np.indices((side, side)) / side
    match int(generator.integers(4)):
        case 0:  # brushed metal: long soft lines in one direction
            texture = ndimage.gaussian_filter(generator.normal(size=(side, side)), (0.7, side / 8))
        case 1:  # woven cloth
            pitch = generator.uniform(4, 9)
            texture = np.sin(2 * np.pi * x * side / pitch) * np.sin(2 * np.pi * y * side / pitch)
        case 2:  # concrete
            texture = ndimage.gaussian_filter(generator.normal(size=(side, side)), 1.2)
            texture = texture / texture.std() + smooth(side, side / 10, generator)
        case _:  # wood
            rings = x * generator.uniform(6, 14) + 0.4 * smooth(side, side / 5, generator)
            texture = np.sin(2 * np.pi * rings) + 0.5 * ndimage.gaussian_filter(generator.normal(size=(side, side)), 1)
    light = generator.uniform(-0.1, 0.1) * (x - 0.5) + generator.uniform(-0.1, 0.1) * (y - 0.5)
    return np.asarray(0.5 + 0.06 * texture / texture.std() + light)


def scratch(side: int, generator: np.random.Generator) -> Values:
    """Draw a long, thin, slightly bent line."""
    start = generator.uniform(0.1, 0.9, 2) * side
    angle = generator.uniform(0, 2 * np.pi)
    length = generator.uniform(0.3, 0.7) * side
    step = np.linspace(0, 1, 24)
    bend = generator.uniform(-0.4, 0.4)
    points = start + length * step[:, None] * np.stack([np.cos(angle + bend * step), np.sin(angle + bend * step)], 1)
    return stroke(side, points, int(generator.integers(2, 5)))


def crack(side: int, generator: np.random.Generator) -> Values:
    """Draw a jagged line with branches."""
    cover = np.zeros((side, side))
    at, angle = generator.uniform(0.2, 0.8, 2) * side, generator.uniform(0, 2 * np.pi)
    for _ in range(generator.integers(1, 4)):
        turns = angle + np.cumsum(generator.normal(0, 0.5, 12))
        steps = generator.uniform(0.02, 0.05, 12) * side
        points = at + np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1) * steps[:, None], 0)
        cover = np.maximum(cover, stroke(side, points, int(generator.integers(2, 4))))
        angle += generator.uniform(0.8, 2)
    return cover


def pit(side: int, generator: np.random.Generator) -> Values:
    """Draw a cluster of small round holes."""
    cover = np.zeros((side, side))
    y, x = np.indices((side, side))
    centre = generator.uniform(0.15, 0.85, 2) * side
    for _ in range(generator.integers(2, 8)):
        top, left = centre + generator.normal(0, side / 14, 2)
        radius = generator.uniform(2.5, 6)
        cover = np.maximum(cover, (np.hypot(y - top, x - left) < radius).astype(np.float64))
    return np.asarray(ndimage.gaussian_filter(cover, 0.6))


def stain(side: int, generator: np.random.Generator) -> Values:
    """Draw a soft blot with an uneven edge."""
    y, x = np.indices((side, side))
    top, left = generator.uniform(0.15, 0.85, 2) * side
    radius = generator.uniform(0.06, 0.14) * side
    distance = np.hypot(y - top, x - left) + 0.25 * radius * smooth(side, radius / 2, generator)
    return np.asarray(ndimage.gaussian_filter((distance < radius).astype(np.float64), 1.2))


DEFECTS: tuple[Callable[[int, np.random.Generator], Values], ...] = (scratch, crack, pit, stain)


def stroke(side: int, points: NDArray[Any], width: int) -> Values:
    """Draw a line through ``points (K, 2)``; values are from 0 to 1."""
    layer = Image.new("L", (side, side))
    ImageDraw.Draw(layer).line([tuple(point) for point in points.tolist()], fill=255, width=width, joint="curve")
    return np.asarray(ndimage.gaussian_filter(np.asarray(layer) / 255.0, 0.5))
