"""How a probe is learned."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tag2mask.masks.settings import MaskSettings
from tag2mask.settings import Scales, Settings


class ProbeSettings(Settings):
    """How a probe is learned.

    ``masks`` says which images, with which tags, and how the run makes their class maps. A backbone that was trained
    from nothing knows one scale. Features come from the last look.
    In a look, a patch is surely of a class where that class's normalised map is above ``sure`` and ``margin`` above the
    second, and surely background where all maps are below ``bare`` times the scale: a larger look spreads less. Nothing
    is learned in between. A layer learns what all looks agree on, and how common each class is. In each of more
    ``rounds`` a new layer learns what the one before gives a probability above ``confidence``. But if the classes fill
    less than ``small`` of the images that show them, on average, there is one round and the last look alone labels the
    patches: it sees small things best, and each round would let them grow. Without a background there is one round.
    """

    called: ClassVar[str] = "probe"

    masks: MaskSettings = MaskSettings()
    scales: Scales | None = Field(
        None, description="Short sides of an image, as multiples of the run's [1,2; 1 for a backbone from scratch]"
    )
    sure: float = Field(0.5, gt=0, lt=1, description="Map value above which a patch surely shows a class")
    margin: float = Field(0.2, ge=0, lt=1, description="How far the class's map must be above the next")
    bare: float = Field(0.1, gt=0, lt=1, description="Map value below which a patch is surely background")
    small: float = Field(0.1, ge=0, le=1, description="Fraction of an image below which classes count as small")
    rounds: int = Field(3, gt=0, le=100, description="Layers trained in turn, each on the results of the one before")
    confidence: float = Field(0.9, gt=0, lt=1, description="Probability above which the next round learns from a patch")
    steps: int = Field(600, gt=0, le=10**6, description="Steps per round")
    batch_size: int = Field(4096, gt=0, le=2**20, description="Patches per step")
    lr: float = Field(3e-3, gt=0, le=1, description="Learning rate")
    weight_decay: float = Field(1e-2, ge=0, le=1, description="Weight decay")
    memory: int = Field(
        1024, gt=0, le=2**20, description="Memory for features in MB; what exceeds it is thinned out evenly"
    )
    seed: int = Field(0, ge=0, description="Random seed")
    save_minutes: float = Field(2.0, ge=0, description="Minutes between saved states")
