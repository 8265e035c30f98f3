"""How a model looks at an image."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.data.resizing import Edges, LookSide
from tag2mask.settings import BatchSize, Patches, Scales, Settings


class LookSettings(Settings):
    """Scales, flips and tiles.

    An image's short side is ``side`` times a scale: a number of pixels, ``own`` for each image's own, rounded to whole
    patches, or the side of training if None. ``flip`` adds the mirrored image. Sides that are no whole number of
    patches are filled up (``edges: pad``), or the rest is left out and the maps are stretched over it (``drop``, as
    released code does; ``own`` is not rounded then); a network that gives pixels needs neither.
    A segmenter looks in windows of its crop's side. A tagged run looks at the whole image, and in tiles if that is more
    than ``max_patches`` patches. Windows and tiles stand at ``even`` distances and overlap by at least a share of
    ``overlap``, or in strides of just that with the last one ``flush`` with the edge; None is a third for windows and a
    quarter for tiles. ``max_patches`` also bounds what goes through the network at once; ``batch_size`` is how many
    images of one size are read together, fewer if they are large.
    """

    scales: Scales = (1.0,)
    flip: bool = False
    side: LookSide = None
    edges: Edges = "pad"
    windows: Literal["even", "flush"] = "even"
    overlap: float | None = Field(None, ge=0, lt=1)
    max_patches: Patches = 4096
    batch_size: BatchSize = 8
