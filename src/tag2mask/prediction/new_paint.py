"""Settings for painting maps of new images: as in ``masks``, except for those that need a whole split."""

from __future__ import annotations

from pathlib import Path

from tag2mask.data import Classes
from tag2mask.errors import SettingsError
from tag2mask.masks.brush import resolve_paint
from tag2mask.masks.settings import PaintSettings


def resolve_new_paint(settings: PaintSettings, classes: Classes, tag_threshold: float, model: Path) -> PaintSettings:
    """Resolve settings for new images, like ``resolve_paint``.

    Raises:
        SettingsError: a setting needs a whole split, or names an unknown class.
    """
    if settings.background.value == "agreement":
        raise SettingsError("predict: paint.background.value agreement needs a whole split: use tag2mask masks")
    return resolve_paint(settings, classes, tag_threshold, str(model))
