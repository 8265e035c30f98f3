"""WeakTr (2023)."""

from tag2mask.methods.weaktr.model import WeakTr
from tag2mask.methods.weaktr.settings import WeakTrSettings

__all__ = ["WeakTr", "WeakTrSettings"]
