"""Settings for predicting masks of new images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from tag2mask.errors import SettingsError
from tag2mask.inference.settings import LookSettings
from tag2mask.masks.settings import LOOK_KEYS, PAINT_KEYS, REFINE_KEYS, PaintSettings
from tag2mask.refine.settings import RefineSettings
from tag2mask.settings import Settings


class PredictSettings(Settings):
    """How images are seen by the model, refined and painted.

    ``refine``: tagged runs support all refiners of ``masks``, their ONNX files those that work on pixels, segmenters
    only ``crf``. ``paint`` and ``method`` are as in ``masks``, for tagged runs.
    """

    called: ClassVar[str] = "predict"

    moved: ClassVar[Mapping[str, str]] = {
        **LOOK_KEYS,
        **REFINE_KEYS,
        "windows": "look.windows",
        "overlap": "look.overlap",
        "masks.edges": "look.edges",
        "masks.method": "method",
        **{f"masks.{old}": new for old, new in PAINT_KEYS.items()},
    }

    look: LookSettings = LookSettings()
    refine: RefineSettings = RefineSettings()
    paint: PaintSettings = PaintSettings()
    method: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the run's method that do not affect its weights [the run's]"
    )
    overlay: bool = Field(False, description="Also write pictures of the masks over their images")

    def require_unset(self, names: Sequence[str], reason: str) -> None:
        """Check that none of these groups is set.

        Raises:
            SettingsError: one is set.
        """
        for name in names:
            if name in self.model_fields_set:
                raise SettingsError(f"predict: {name} cannot be set: {reason}")
