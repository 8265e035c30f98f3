"""Networks that return pixels as numpy arrays: a segmenter in torch or in onnxruntime.

Shapes: B batch, K pixel classes, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Callable

from tag2mask.inference.arrays import Arrays, Floats, NumpyArrays
from tag2mask.inference.look import Seen, Window

OVERLAP = 1 / 3  # of a segmenter's windows by default
TILE_OVERLAP = 1 / 4  # of a tagged run's tiles


class PixelNetwork:
    """A segmenter: ``call`` maps images ``(B, bands, Y, X)`` in [0, 1] of any size to logits ``(B, K, Y, X)``.

    In pixels, ``side`` is an image's short side at scale 1, ``crop`` a window's side, ``patch`` the network's patch.
    """

    arrays: Arrays[Floats] = NumpyArrays()
    cell = 1

    def __init__(self, call: Callable[[Floats], Floats], side: int, crop: int, patch: int) -> None:
        self.call = call
        self.side = side
        self.patch = patch
        self.window = Window(crop, OVERLAP, faded=False)

    def __call__(self, images: Floats) -> Seen[Floats]:
        """Return the logits as maps."""
        return Seen(self.call(images))
