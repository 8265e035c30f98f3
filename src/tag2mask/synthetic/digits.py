"""The demo's images: scikit-learn's handwritten digits as stickers on textured ground, with exact truth.

Shapes: S side of a scene in pixels, y x pixels of a digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from sklearn.datasets import load_digits

from tag2mask.data.classes import Classes
from tag2mask.synthetic.folder import Composed, write_folder

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CLASSES = Classes(NAMES, "background")
INK = 0.25  # fraction of full ink from which a pixel belongs to its digit
RIM = 2  # pixels of sticker around the digit
GRID = 8  # stickers are on this grid: learning free positions from scratch would take too long for a demo
Pixels = NDArray[np.float64]


def write_scenes(root: Path, counts: dict[str, int], side: int = 64, seed: int = 0) -> None:
    """Write a ``folder`` data set of scenes, ``counts`` per split. Splits do not share handwritten digits.

    Every scene has one to three digits, which may overlap slightly, and clutter.
    """
    generator = np.random.default_rng(seed)
    shares = deal(list(counts), generator)
    write_folder(root, CLASSES, counts, lambda split: compose_scene(shares[split], side, generator))


def deal(splits: Sequence[str], generator: np.random.Generator) -> dict[str, list[tuple[int, Pixels]]]:
    """Deal handwritten digits to the splits as (digit, ink ``(8, 8)`` in [0, 1]); train gets eight times as many."""
    digits = load_digits()
    pool = [(int(target), image / 16) for target, image in zip(digits.target, digits.images, strict=True)]
    order = generator.permutation(len(pool))
    shares = [8 if split == "train" else 1 for split in splits]
    edges = np.round(np.cumsum([0, *shares]) / sum(shares) * len(pool)).astype(int)
    return {split: [pool[index] for index in order[edges[i] : edges[i + 1]]] for i, split in enumerate(splits)}


def compose_scene(digits: Sequence[tuple[int, Pixels]], side: int, generator: np.random.Generator) -> Composed:
    """Compose one scene ``(S, S, 3)`` and its truth ``(S, S)``: 0 is ground, digit + 1 a digit."""
    scene = spotted_ground(side, generator)
    clutter(scene, generator)
    truth = np.zeros((side, side), np.uint8)
    for _ in range(generator.integers(1, 4)):
        value, ink = digits[int(generator.integers(len(digits)))]
        paste_digit(scene, truth, value, enlarge(ink, generator), generator)
    scene += generator.normal(0, 0.03, scene.shape)
    return (scene.clip(0, 1) * 255).astype(np.uint8), truth


def spotted_ground(side: int, generator: np.random.Generator) -> Pixels:
    """Draw dark, softly spotted ground with a random tint."""
    spots = ndimage.gaussian_filter(generator.normal(size=(side, side)), generator.uniform(1.5, 5), mode="wrap")
    spots = (spots - spots.min()) / np.ptp(spots)
    tint = generator.uniform(0.1, 0.35, 3)
    return np.asarray(tint + 0.25 * spots[..., None] * generator.uniform(0.5, 1, 3))


def clutter(scene: Pixels, generator: np.random.Generator) -> None:
    """Draw short straight strokes, as bright as digits."""
    side = len(scene)
    for _ in range(generator.integers(2, 6)):
        layer = Image.new("L", (side, side))
        start = generator.uniform(0, side, 2)
        end = start + generator.uniform(-side / 6, side / 6, 2)
        ImageDraw.Draw(layer).line([*start, *end], fill=255, width=2)
        blend(scene, ndimage.gaussian_filter(np.asarray(layer) / 255.0, 0.5), colour(generator))


def enlarge(ink: Pixels, generator: np.random.Generator) -> Pixels:
    """Enlarge a digit smoothly, with a slightly random size and slant."""
    turned = ndimage.rotate(ink, generator.uniform(-8, 8), order=1, reshape=False)
    return np.asarray(ndimage.zoom(turned, generator.uniform(1.8, 2.25), order=3).clip(0, 1))


def paste_digit(
    scene: Pixels, truth: NDArray[np.uint8], value: int, ink: Pixels, generator: np.random.Generator
) -> None:
    """Paste a digit's sticker, whose pixels get its class, at the one of five places that hides the fewest digits."""
    ink = np.pad(ink, RIM)
    sticker = ndimage.binary_fill_holes(ndimage.binary_dilation(ink >= INK, iterations=RIM))
    height, width = ink.shape
    side = len(scene)
    tries = [GRID * generator.integers((side - np.array([height, width])) // GRID + 1) for _ in range(5)]
    top, left = min(tries, key=lambda at: int((truth[at[0] : at[0] + height, at[1] : at[1] + width] > 0).sum()))
    window = (slice(top, top + height), slice(left, left + width))
    blend(scene[window], sticker.astype(np.float64), generator.uniform(0, 0.35, 3))
    blend(scene[window], ink, colour(generator))
    truth[window][sticker] = value + 1


def blend(window: Pixels, ink: Pixels, paint: NDArray[Any]) -> None:
    """Blend ``paint`` into a window with the opacity ``ink``."""
    window += ink[..., None] * (paint - window)


def colour(generator: np.random.Generator) -> NDArray[Any]:
    """Draw a random bright colour."""
    return generator.uniform(0.6, 1.0, 3)
