"""ToCo (CVPR 2023)."""

from tag2mask.methods.toco.model import ToCo
from tag2mask.methods.toco.settings import ToCoSettings

__all__ = ["ToCo", "ToCoSettings"]
