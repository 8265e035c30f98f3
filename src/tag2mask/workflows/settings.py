"""The settings of all stages of ``tag2mask run``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tag2mask.masks.settings import MaskSettings
from tag2mask.prediction.settings import PredictSettings
from tag2mask.probe.settings import ProbeSettings
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.settings import Settings, Shorthand
from tag2mask.training.settings import TrainSettings


def seeds(seed: Any) -> dict[str, Any]:
    """Use one seed for both trainings."""
    return {"train.seed": seed, "segment.seed": seed}


def memories(memory: Any) -> dict[str, Any]:
    """Use as much memory in both trainings."""
    return {"train.memory": memory, "segment.memory": memory}


class WholeSettings(Settings):
    """The settings of all stages. The splits of ``train`` decide which images are painted."""

    called: ClassVar[str] = "run"
    shorthands: ClassVar[Mapping[str, Shorthand]] = {
        "seed": Shorthand("INTEGER", "Random seed [0]", seeds),
        "memory": Shorthand("SIZE", "Memory to use in trainings, such as 8GB [all there is]", memories),
    }

    train: TrainSettings = TrainSettings()
    probe: ProbeSettings = ProbeSettings()
    masks: MaskSettings = MaskSettings()
    segment: SegmentSettings = SegmentSettings()
    predict: PredictSettings = PredictSettings()
