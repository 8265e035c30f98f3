"""Settings of a random walk."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from tag2mask.masks.settings import MaskSettings
from tag2mask.settings import Epochs, PretrainedWeights, Side
from tag2mask.training.settings import LoopSettings, Precision
from tag2mask.vit.settings import BackboneSettings


class WalkSettings(LoopSettings):
    """How a walk is trained and applied.

    ``masks`` sets the images and how the run computes their class maps; its paint settings have no effect.
    Foreground is sure where a class beats (1 - max map) ** ``low_alpha`` after the CRF, background where
    (1 - max map) ** ``high_alpha`` beats the classes. The defaults 4 and 32 are AffinityNet's; MCTformer uses 1 and 12
    for broader maps. Without a background, a patch is sure where the CRF's best probability is at least ``trust``.
    The learning rate of SGD decays by (1 - step / steps) ** ``power``. The papers use 0.1 for new layers over about
    6,600 steps; our default is 1, since a few hundred images give only a few dozen steps. By mistake, the released code
    passed its weight decay as the momentum, which was therefore close to 0; 0.9 was intended.
    """

    called: ClassVar[str] = "walk"

    backbone: BackboneSettings | None = Field(None, description="the run's own")
    weights: PretrainedWeights | None = Field(None, description="Pretrained weights [those the run started from]")
    side: Side = Field(448, description="Short side of images in pixels")
    masks: MaskSettings = MaskSettings()
    low_alpha: float = Field(4.0, gt=0, description="Power of the background score that sure foreground must beat")
    high_alpha: float = Field(32.0, gt=0, description="Power of the background score that makes sure background")
    trust: float = Field(0.7, ge=0, le=1, description="Probability from which a patch is sure, without a background")
    epochs: Epochs = Field(5, description="Passes over the images")
    lr: float = Field(1.0, gt=0, description="Learning rate")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum")
    weight_decay: float = Field(5e-4, ge=0, description="Weight decay")
    power: float = Field(0.9, ge=0, description="Power of the polynomial decay of the rate")
    flip: float = Field(0.5, ge=0, le=1, description="Probability of mirroring an image")
    precision: Precision = Field("fp32", description="Floating-point precision")
    radius: int = Field(5, gt=1, le=64, description="Compare patches nearer than this, in patches")
    beta: float = Field(8.0, gt=0, description="Exponent of the affinities in a step of the walk")
    squarings: int = Field(6, ge=0, le=16, description="Number of squarings: the walk takes 2 ** squarings steps")

    @model_validator(mode="after")
    def ordered(self) -> WalkSettings:
        """Check that the background is stronger with ``low_alpha``."""
        if self.low_alpha > self.high_alpha:
            raise ValueError("low_alpha must be at most high_alpha")
        return self
