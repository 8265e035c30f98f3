"""Generated endoscopy frames: polyps, ulcers and instruments on a folded mucosa, with tags and exact truth.

A third of the frames show none of them. The dark lumen, highlights, bubbles and the black corners of the camera are
never tagged, but occur in most frames. Shapes: S side of an image in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tag2mask.data.classes import Classes
from tag2mask.synthetic.folder import Composed, write_folder
from tag2mask.synthetic.noise import smooth

CLASSES = Classes(("polyp", "ulcer", "instrument"), "background")
NORMAL = 1 / 3  # fraction of frames with nothing to tag
MUCOSA, RED, YELLOW, STEEL = (
    np.array(colour) for colour in ((0.72, 0.4, 0.34), (0.7, 0.2, 0.2), (0.85, 0.75, 0.5), (0.6, 0.62, 0.66))
)
Values = NDArray[np.float64]
Layer = tuple[Values, Values]  # colour (S, S, 3) and cover (S, S) from 0 to 1


def write_endoscopy(root: Path, counts: dict[str, int], side: int = 224, seed: int = 0) -> None:
    """Write a ``folder`` data set of frames, ``counts`` per split, with at most two classes each."""
    generator = np.random.default_rng(seed)
    write_folder(root, CLASSES, counts, lambda _: compose_frame(side, generator))


def compose_frame(side: int, generator: np.random.Generator) -> Composed:
    """Compose one image ``(S, S, 3)`` and its truth ``(S, S)``: 0 is mucosa, class + 1 a finding."""
    image = mucosa(side, generator)
    truth = np.zeros((side, side), np.uint8)
    if generator.random() >= NORMAL:
        kinds = generator.choice(len(CLASSES), generator.integers(1, 3), replace=False)
        for kind in sorted(kinds.tolist()):  # instruments are in front
            draw, most = FINDINGS[kind]
            for _ in range(generator.integers(1, most + 1)):
                colour, cover = draw(image, generator)
                image += cover[..., None] * (colour - image)
                truth[cover > 0.5] = kind + 1
    image = add_lights(image, generator)
    y, x = np.indices((side, side)) / side - 0.5
    seen = np.clip((0.62 - np.hypot(y, x)) * 40, 0, 1)
    truth[seen < 0.5] = 0
    image = image * seen[..., None] * generator.uniform(0.8, 1.2) + generator.normal(0, 0.015, image.shape)
    return (image.clip(0, 1) * 255).astype(np.uint8), truth


def mucosa(side: int, generator: np.random.Generator) -> Values:
    """Draw folded pink tissue with vessels, around a dark lumen."""
    y, x = np.indices((side, side)) / side
    top, left = generator.uniform(0.1, 0.9, 2)
    distance = np.hypot(y - top, x - left) + 0.05 * smooth(side, side / 8, generator)
    folds = np.sin(distance * generator.uniform(18, 40) + 0.6 * smooth(side, side / 6, generator))
    light = (0.25 + 1.1 * distance.clip(0, 0.65)) * (1 + 0.1 * folds)
    vessels = np.abs(smooth(side, side / 16, generator)) < 0.06
    tint = 1 - 0.12 * ndimage.gaussian_filter(vessels.astype(np.float64), 0.8)
    colour = MUCOSA + generator.normal(0, 0.03, 3) + 0.02 * smooth(side, side / 10, generator)[..., None]
    return np.asarray(colour * light[..., None] * np.stack([np.ones_like(tint), tint, tint], -1))


def polyp(image: Values, generator: np.random.Generator) -> Layer:
    """Draw a round, redder bulge that is lit from one side."""
    side = len(image)
    inside, y, x = blob(side, generator.uniform(0.07, 0.2), generator)
    dome = np.sqrt(inside.clip(0, 1))
    lit = 0.75 + 0.45 * dome + 0.2 * (generator.choice([-1, 1]) * x + generator.choice([-1, 1]) * y).clip(-1, 1)
    colour = (0.6 * MUCOSA + 0.4 * RED) * lit[..., None] * (1 + 0.05 * smooth(side, side / 30, generator))[..., None]
    return colour, soft(inside)


def ulcer(image: Values, generator: np.random.Generator) -> Layer:
    """Draw a flat, yellowish patch with an uneven outline; the light is that of the tissue below."""
    side = len(image)
    inside, _, _ = blob(side, generator.uniform(0.05, 0.14), generator, 0.5)
    lit = ndimage.gaussian_filter(image.mean(-1), side / 30) / MUCOSA.mean()
    return YELLOW * lit[..., None] * (1 + 0.08 * smooth(side, side / 40, generator))[..., None], soft(inside)


def instrument(image: Values, generator: np.random.Generator) -> Layer:
    """Draw a metal rod that enters from the edge."""
    y, x = np.indices(image.shape[:2]) / len(image) - 0.5
    angle = generator.uniform(0, 2 * np.pi)
    tip = generator.uniform(-0.1, 0.2)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = -x * np.sin(angle) + y * np.cos(angle) - generator.uniform(-0.2, 0.2)
    radius = generator.uniform(0.03, 0.06)
    inside = np.minimum(1 - np.abs(across) / radius, (along - tip) / radius)
    shine = 0.5 + 0.7 * np.exp(-(((across / radius - 0.3) / 0.35) ** 2))
    return STEEL * shine[..., None], soft(inside * radius * 20)


Draw = Callable[[Values, np.random.Generator], Layer]
FINDINGS: tuple[tuple[Draw, int], ...] = ((polyp, 2), (ulcer, 2), (instrument, 1))  # and how many a frame may show


def blob(side: int, radius: float, generator: np.random.Generator, rough: float = 0.2) -> tuple[Values, Values, Values]:
    """Return ``1 - r²`` of a bent ellipse, positive inside, and the coordinates in its axes, each ``(S, S)``."""
    y, x = np.indices((side, side)) / side
    top, left = generator.uniform(0.22, 0.78, 2)
    stretch, angle = generator.uniform(0.7, 1.4), generator.uniform(0, np.pi)
    u = ((x - left) * np.cos(angle) + (y - top) * np.sin(angle)) / (radius * stretch)
    v = (-(x - left) * np.sin(angle) + (y - top) * np.cos(angle)) / radius
    return 1 - u**2 - v**2 + rough * smooth(side, radius * side / 3, generator), v, u


def soft(inside: Values) -> Values:
    """Return the cover of a shape from a function that is positive inside it."""
    return np.asarray(np.clip(inside * 6 + 0.5, 0, 1))


def add_lights(image: Values, generator: np.random.Generator) -> Values:
    """Add highlights where the tissue is bright, and some bubbles."""
    side = len(image)
    bright = image.mean(-1) * (1 + 0.15 * smooth(side, side / 40, generator))
    glare = ndimage.gaussian_filter((bright > np.quantile(bright, 0.985)).astype(np.float64), 1)
    image = image + glare[..., None] * (1 - image)
    y, x = np.indices((side, side)) / side
    for _ in range(generator.integers(0, 6)):
        top, left = generator.uniform(0.1, 0.9, 2)
        ring = np.abs(np.hypot(y - top, x - left) - generator.uniform(0.01, 0.025)) * side < 0.8
        image = image + 0.25 * ndimage.gaussian_filter(ring.astype(np.float64), 0.6)[..., None]
    return image
