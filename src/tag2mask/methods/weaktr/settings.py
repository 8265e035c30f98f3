"""Settings of WeakTr."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.settings import Settings


class WeakTrSettings(Settings):
    """Settings of WeakTr's CAM network.

    ``query``: ``peaks``, the maxima over all tokens, is the paper's choice; ``slices`` of the attention's projected
    output are what the released code treats as heads; ``random`` is one fixed random number per head (RandWeight).
    ``fine_scale``: with ``none`` the fine logits are never below 0, so their loss cannot fall below
    (fraction of absent tags) ln 2; ``learned`` gives them a scale and a bias.
    """

    reduction: int = Field(8, ge=1, le=16_384, description="Number of heads per unit of the fusion's hidden layer")
    query: Literal["peaks", "slices", "random"] = Field("peaks", description="What the heads are weighted by")
    fine_scale: Literal["none", "learned"] = Field(
        "none", description="Whether the fine logits have a learned scale and bias"
    )
