"""Segmenters by name: our own, and segmentation-models-pytorch's."""

from __future__ import annotations

from tag2mask.data import DataSettings
from tag2mask.segmentation.model import ARCHITECTURES, Architecture, Built
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.smp import smp_architecture
from tag2mask.vit.weights import Weights


def architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        SettingsError: there is none, or what it needs is not installed.
    """
    return ARCHITECTURES[name] if name in ARCHITECTURES else smp_architecture(name)


def build_segmenter(settings: SegmentSettings, data: DataSettings, classes: int, weights: Weights) -> Built:
    """A segmenter for ``classes`` pixel classes, its encoder filled with ``weights``; ``settings`` are complete.

    Raises:
        SettingsError: unknown architecture, backbone or encoder, or a combination that does not work.
        WeightsError: weights that cannot be had or do not fit.
    """
    return architecture(settings.architecture).build(settings, data, classes, weights)
