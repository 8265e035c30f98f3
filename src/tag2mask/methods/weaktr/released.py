"""Layout of WeakTr's released checkpoints: the tensors of MCTformer V2 and the six of the fusion.

See ``tag2mask.methods.released``. The names of the fusion's layers are not published; their shapes identify them.
"""

from __future__ import annotations

from collections.abc import Mapping

from tag2mask.methods.released import HEAD_WIDTH, TOGETHER, Layer, Layout, Size, convolution
from tag2mask.methods.weaktr.model import AdaptiveFusion
from tag2mask.methods.weaktr.settings import WeakTrSettings


def layers(size: Size) -> Mapping[str, Layer]:
    """The convolution and the fusion: 64 -> 8 -> 1 per head, with biases, and 72 -> 9 -> 72 across heads, without."""
    heads, small = size.depth * size.heads, AdaptiveFusion.HIDDEN
    hidden = max(heads // WeakTrSettings().reduction, 1)
    return {
        **convolution(size),
        "fusion.headwise.0": {"weight": (small, HEAD_WIDTH), "bias": (small,)},
        "fusion.headwise.1": {"weight": (1, small), "bias": (1,)},
        "fusion.across.0": {"weight": (hidden, heads)},
        "fusion.across.2": {"weight": (heads, hidden)},
    }


LAYOUT = Layout(TOGETHER, layers)
