"""Building segmenters by name: our own, and those of segmentation-models-pytorch."""

from __future__ import annotations

from tag2mask.data import DataSettings
from tag2mask.segmentation.model import ARCHITECTURES, Architecture, Built
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.smp import smp_architecture
from tag2mask.vit.weights import Weights


def architecture(name: str) -> Architecture:
    """Look up an architecture by name.

    Raises:
        SettingsError: it is unknown, or the package it needs is not installed.
    """
    return ARCHITECTURES[name] if name in ARCHITECTURES else smp_architecture(name)


def build_segmenter(settings: SegmentSettings, data: DataSettings, classes: int, weights: Weights) -> Built:
    """Build a segmenter for ``classes`` pixel classes, with encoder ``weights``; ``settings`` must be complete.

    Raises:
        SettingsError: the architecture, backbone or encoder is unknown, or they do not work together.
        WeightsError: the weights are not available or do not fit.
    """
    return architecture(settings.architecture).build(settings, data, classes, weights)
