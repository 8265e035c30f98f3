"""How new photographs are masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from tag2mask.data.resizing import LookSide
from tag2mask.errors import SettingsError
from tag2mask.masks.crf_settings import CRFConstants, CRFEngine, CRFSettings
from tag2mask.masks.settings import Refiners
from tag2mask.settings import BatchSize, Patches, Scales, Settings, Side, assign


class PredictSettings(Settings):
    """How a photograph is looked at, and what becomes of that.

    Its short side is ``side`` times a scale: a number of pixels, ``own`` for each image's own, rounded to whole
    patches, None for the side of training. A segmenter looks in windows of the crop's side that overlap by ``overlap``,
    as many at once as have ``max_patches`` patches together; they stand at ``even`` distances, or in strides with the
    last one ``flush`` with the edge. ``batch_size`` photographs of one size go together, fewer if they are large.
    ``overlay`` also writes the masks over their photographs. ``refine`` may be ``crf`` with the constants ``crf`` by
    ``crf_engine``, which sees a long side of at most ``refine_side``, all as in ``masks``; a tagged run takes any of
    ``masks --refine``, and more settings of ``masks`` in ``masks``.
    """

    scales: Scales = (1.0,)
    flip: bool = False
    side: LookSide = None
    windows: Literal["even", "flush"] = "even"
    overlap: float = Field(1 / 3, ge=0, lt=1)
    max_patches: Patches = 4096
    batch_size: BatchSize = 8
    overlay: bool = False
    refine: Refiners = ()
    refine_side: Side = 640
    crf: CRFConstants = CRFSettings()
    crf_engine: CRFEngine = "torch"
    masks: dict[str, Any] = Field(default_factory=dict)

    def require_default(self, names: Sequence[str], reason: str) -> None:
        """None of these settings was changed.

        Raises:
            SettingsError: one was.
        """
        default = PredictSettings()
        for name in names:
            if getattr(self, name) != getattr(default, name):
                raise SettingsError(f"predict: {name} cannot be set: {reason}")


def read_predict_settings(options: Mapping[str, Any], assignments: Sequence[str]) -> PredictSettings:
    """Options by setting, then ``KEY=VALUE`` assignments.

    Raises:
        SettingsError: a setting is unknown or wrong.
    """
    return PredictSettings.parse(assign(dict(options), assignments), where="predict")
