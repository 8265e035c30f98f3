"""The baselines that papers compare with."""

from tag2mask.methods.baselines.gradcam import GradCAM
from tag2mask.methods.baselines.linear import LinearCAM
from tag2mask.methods.baselines.rollout import Rollout
from tag2mask.methods.baselines.tscam import TSCAM, TSCAMSettings
from tag2mask.settings import Settings

__all__ = ["TSCAM", "BaselineSettings", "GradCAM", "LinearCAM", "Rollout", "TSCAMSettings"]


class BaselineSettings(Settings):
    """The baselines have no settings of their own."""
