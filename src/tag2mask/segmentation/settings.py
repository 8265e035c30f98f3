"""Everything that decides a segmenter; what its ``config.yaml`` holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from tag2mask.errors import SettingsError
from tag2mask.presets import read_preset
from tag2mask.segmentation.clipping import ClippingSettings
from tag2mask.segmentation.crops import CropSettings
from tag2mask.segmentation.optimiser import SegmenterOptimiser
from tag2mask.settings import BatchSize, Epochs, Side, assign, merge, put, read_yaml
from tag2mask.training.settings import LoopSettings
from tag2mask.vit.settings import BackboneSettings

Target = Literal["hard", "soft"]


class SegmentSettings(LoopSettings):
    """A segmenter's training.

    ``architecture`` is vit, or any of segmentation-models-pytorch's by its name there. What a vit's ``backbone`` and
    ``weights`` leave open is the run's own: its pretrained weights, not what it made of them. The others have an
    ``encoder``, one of smp's by name or tu-NAME for one of timm's, and start from smp's own ImageNet weights.
    ``crop`` is the side of training crops and of windows in pixels, None for the run's image size. A mask set says
    itself which images it has; without one, fully supervised, they are those of ``split``, None for the run's.
    ``target``: ``hard`` learns the masks, ``soft`` the mask set's scores where its masks are not ignore.
    ``potts`` is the weight of the loss that draws predictions of neighbours of alike colour together, ignored pixels
    among them.
    """

    epochs: Epochs = 10
    batch_size: BatchSize = 4
    architecture: str = "vit"
    backbone: BackboneSettings | None = None
    encoder: str | None = None
    weights: str | None = None
    crop: Side | None = None
    split: str | None = None
    target: Target = "hard"
    potts: float = Field(0.0, ge=0, le=1e6)
    optimiser: SegmenterOptimiser = SegmenterOptimiser.parse({})
    clipping: ClippingSettings = ClippingSettings()
    augment: CropSettings = CropSettings()

    @field_validator("architecture")
    @classmethod
    def in_small_letters(cls, name: str) -> str:
        """However it is written, it is the same."""
        return name.lower()


def read_segment_settings(
    config: Path | None, options: Mapping[str, Any], assignments: Sequence[str], preset: str | None = None
) -> SegmentSettings:
    """Defaults, then a preset, then a YAML file, then options by dotted setting, then ``KEY=VALUE`` assignments.

    Raises:
        SettingsError: there is no such preset or it knows no segmenter, the file cannot be read, or a setting is
            unknown or wrong.
    """
    values = {} if preset is None else read_preset(preset).segment
    if values is None:
        raise SettingsError(f"preset {preset} says nothing about segmenters; voc-weaktr does")
    if config is not None:
        merge(values, read_yaml(config))
    for key, value in options.items():
        put(values, key, value)
    return SegmentSettings.parse(assign(values, assignments), where="segment")
