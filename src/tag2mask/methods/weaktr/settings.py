"""What can be chosen in WeakTr."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tag2mask.settings import Settings


class WeakTrSettings(Settings):
    """WeakTr's CAM network.

    ``reduction`` divides the number of heads to the width of the fusion's hidden layer. ``query`` is what heads are
    weighed by: their ``peaks`` over all tokens, as the paper has it; ``slices`` of the attention's projected output,
    which the released code takes for heads; or ``random`` numbers, one a head, fixed at the start (RandWeight).
    ``fine_scale``: ``none`` leaves the fine logits at 0 and above, so that their loss cannot fall below
    (share of absent tags) ln 2; ``learned`` gives them a scale and a bias.
    """

    reduction: int = Field(8, ge=1, le=16_384)
    query: Literal["peaks", "slices", "random"] = "peaks"
    fine_scale: Literal["none", "learned"] = "none"
