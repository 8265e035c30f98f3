"""Settings of a probe."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tag2mask.masks.settings import MaskSettings
from tag2mask.settings import Scales, Settings


class ProbeSettings(Settings):
    """How a probe is trained.

    ``masks`` sets the images, their tags, and the method's settings; how images are seen is set by ``scales``. Every
    image is processed at all of them, and features come from the last. A backbone trained from scratch only works at
    one scale.

    At a scale, a patch surely shows a class if that class's normalised map is above ``sure`` and exceeds the second
    highest by ``margin``. It is surely background if all maps are below ``bare`` times the scale, since maps at larger
    scales spread less. Other patches are not learned from.

    In the first round, a layer learns the patches on which all scales agree, and the frequency of each class is
    estimated. In each further one of ``rounds``, a new layer learns the patches to which the previous one gives a
    probability above ``confidence``. There, a patch is background where all maps are below ``empty`` times the scale,
    or what always surrounds a class would become that class. If the classes fill less than ``small`` of the images that
    show them, on average, there is only one round, and the last scale alone labels the patches: it detects small
    objects best, and further rounds would enlarge them. Otherwise, each class of the last layer finally ends where
    neighbouring patches differ (``boundary.py``), if the cut becomes clearly smaller there (``narrow``). Without a
    background there is only one round.
    """

    called: ClassVar[str] = "probe"

    masks: MaskSettings = MaskSettings()
    scales: Scales | None = Field(
        None, description="Short sides of an image, as multiples of the run's [1,2; 1 for a backbone from scratch]"
    )
    sure: float = Field(0.5, gt=0, lt=1, description="Map value above which a patch surely shows a class")
    margin: float = Field(0.2, ge=0, lt=1, description="How far the class's map must be above the next")
    bare: float = Field(0.1, gt=0, lt=1, description="Map value below which a patch is surely background")
    empty: float = Field(0.02, ge=0, lt=1, description="Map value below which a patch is background in every round")
    small: float = Field(0.1, ge=0, le=1, description="Fraction of an image below which classes count as small")
    narrow: float = Field(
        0.8, ge=0, le=1, description="End a class where the cut between patches is at most this fraction; 0: never"
    )
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
