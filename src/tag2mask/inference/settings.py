"""Settings of inference."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.data.resizing import Edges, LookSide
from tag2mask.settings import BatchSize, Patches, Scales, Settings


class LookSettings(Settings):
    """Scales, flips and tiles.

    ``side`` is a number of pixels, or ``own`` for each image's own short side, rounded to whole patches; scales
    multiply it.
    ``edges``: images whose sides are not whole numbers of patches are padded (``pad``), or cropped and their maps
    stretched over the missing edges (``drop``, as in released code; ``own`` is then not rounded). Networks that return
    pixels do not need ``edges``.
    A segmenter works in windows with the side of its crops. A tagged run works on the whole image, or in tiles if it
    has more than ``max_patches`` patches. Windows and tiles are spaced evenly and overlap by at least the fraction
    ``overlap`` (``even``), or overlap by exactly that, with the last one flush with the edge (``flush``).
    """

    scales: Scales = Field((1.0,), description="Scales of the image, such as 1.0,1.25")
    flip: bool = Field(False, description="Also use the mirrored image")
    side: LookSide = Field(
        None, description="Short side of images at scale 1, in pixels, or own [the side of training]"
    )
    edges: Edges = Field("pad", description="Pad or drop edges that do not fill a patch")
    windows: Literal["even", "flush"] = Field(
        "even", description="Space windows and tiles evenly, or put the last one flush with the edge"
    )
    overlap: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Fraction by which windows and tiles overlap [1/3 for windows, 1/4 for tiles]",
    )
    max_patches: Patches = Field(4096, description="Largest number of patches that go through the network at once")
    batch_size: BatchSize = Field(8, description="Images of the same size read together, fewer if they are large")
