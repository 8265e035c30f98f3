"""Noise for generated data. Shapes: S side of an image in pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def smooth(side: int, width: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return noise ``(S, S)``, smoothed over ``width`` pixels, with mean 0 and standard deviation 1."""
    noise = ndimage.gaussian_filter(generator.normal(size=(side, side)), width, mode="reflect")
    return np.asarray((noise - noise.mean()) / noise.std())
