"""What the papers measure themselves against."""

from tag2mask.methods.baselines.gradcam import GradCAM
from tag2mask.methods.baselines.linear import LinearCAM
from tag2mask.methods.baselines.rollout import Rollout
from tag2mask.methods.baselines.tscam import TSCAM, TSCAMSettings
from tag2mask.settings import Settings

__all__ = ["TSCAM", "BaselineSettings", "GradCAM", "LinearCAM", "Rollout", "TSCAMSettings"]


class BaselineSettings(Settings):
    """Baselines have nothing to choose."""
