"""Images whose halves have two of three colours, which a tiny network learns in seconds.

Shapes: S side of an image in pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tag2mask.data.classes import Classes
from tag2mask.synthetic.folder import Composed, write_folder

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 220)}


def write_halves(root: Path, counts: dict[str, int], side: int = 48, seed: int = 0) -> None:
    """Write a ``folder`` data set, ``counts`` images per split; the border is anywhere in the middle third."""
    generator = np.random.default_rng(seed)
    write_folder(root, Classes((*COLOURS,), None), counts, lambda _: compose_halves(side, generator))


def compose_halves(side: int, generator: np.random.Generator) -> Composed:
    """Compose an image ``(S, S, 3)`` and its truth ``(S, S)``; there is no background."""
    left, right = generator.choice(len(COLOURS), 2, replace=False)
    truth = np.full((side, side), right, np.int64)
    truth[:, : generator.integers(side // 3, side - side // 3)] = left
    image = np.array([*COLOURS.values()])[truth] + generator.normal(0, 12, (side, side, 3))
    return image.clip(0, 255).astype(np.uint8), truth
