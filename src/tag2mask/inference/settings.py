"""How a model looks at an image."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.data.resizing import Edges, LookSide
from tag2mask.settings import BatchSize, Patches, Scales, Settings


class LookSettings(Settings):
    """Scales, flips and tiles.

    ``side`` is a number of pixels, or ``own`` for each image's own, rounded to whole patches; scales multiply it.
    ``edges`` of images whose sides are no whole number of patches: filled up (``pad``), or left out and the maps
    stretched over them (``drop``, as released code does; ``own`` is not rounded then).
    A segmenter looks in windows of its crop's side, a tagged run at the whole image, or in tiles if that is more than
    ``max_patches``. Windows and tiles stand at ``even`` distances and overlap by at least the share ``overlap``, or in
    strides of just that with the last one ``flush`` with the edge. A network that gives pixels needs no ``edges``.
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
