"""Refiners as functions on tensors, from an image ``(bands, Y, X)`` in [0, 1] and maps or scores to maps or scores.

Modules are imported on first use, because the settings are also read without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tag2mask.refine.dense_crf import crf
    from tag2mask.refine.joint_bilateral import guided
    from tag2mask.refine.pixel_adaptive import pamr
    from tag2mask.refine.spreading import affinity

__all__ = ["affinity", "crf", "guided", "pamr"]

PLACES = {"affinity": "spreading", "crf": "dense_crf", "guided": "joint_bilateral", "pamr": "pixel_adaptive"}


def __getattr__(name: str) -> Any:
    """Import a refiner from its module."""
    if name not in PLACES:
        raise AttributeError(f"module 'tag2mask.refine' has no attribute {name!r}")
    return getattr(import_module(f"tag2mask.refine.{PLACES[name]}"), name)
