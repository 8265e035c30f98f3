"""MCTformer (CVPR 2022) and MCTformer+."""

from tag2mask.methods.mctformer.model import MCTformer
from tag2mask.methods.mctformer.settings import MCTformerSettings

__all__ = ["MCTformer", "MCTformerSettings"]
