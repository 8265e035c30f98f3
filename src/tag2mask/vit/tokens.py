"""The order of the tokens in a sequence, and which tokens see each other.

Shapes: N tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """A sequence with ``classes`` class tokens first, and patches at ``first .. first + patches - 1``.

    ``allowed_NN`` is True where a row's token may attend to a column's token; None allows everything.
    """

    classes: int
    first: int
    patches: int
    allowed_NN: Tensor | None = None

    @property
    def patch_slice(self) -> slice:
        """Position of the patches in the sequence."""
        return slice(self.first, self.first + self.patches)
