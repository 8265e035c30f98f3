"""Where the tokens of a sequence stand, and which of them see which.

Shapes: N tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """``classes`` class tokens first, patches at ``first .. first + patches - 1``.

    ``allowed_NN`` is True where the token of a row may look at the token of a column; None: everywhere.
    """

    classes: int
    first: int
    patches: int
    allowed_NN: Tensor | None = None

    @property
    def patch_slice(self) -> slice:
        """The patches' place in the sequence."""
        return slice(self.first, self.first + self.patches)
