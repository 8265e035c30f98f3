"""TokenMasking (ICCV 2025)."""

from tag2mask.methods.tokenmasking.model import TokenMasking
from tag2mask.methods.tokenmasking.settings import TokenMaskingSettings

__all__ = ["TokenMasking", "TokenMaskingSettings"]
