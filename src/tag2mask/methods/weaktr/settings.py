"""What can be chosen in WeakTr."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.settings import Settings


class WeakTrSettings(Settings):
    """WeakTr's CAM network.

    ``query``: ``peaks`` over all tokens is the paper's; ``slices`` of the attention's projected output is what the
    released code takes for heads; ``random`` is one number a head, fixed at the start (RandWeight).
    ``fine_scale``: ``none`` leaves the fine logits at 0 and above, so that their loss cannot fall below
    (share of absent tags) ln 2; ``learned`` gives them a scale and a bias.
    """

    reduction: int = Field(8, ge=1, le=16_384, description="Number of heads per unit of the fusion's hidden layer")
    query: Literal["peaks", "slices", "random"] = Field("peaks", description="What the heads are weighted by")
    fine_scale: Literal["none", "learned"] = Field(
        "none", description="Whether the fine logits have a learned scale and bias"
    )
