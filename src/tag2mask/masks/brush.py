"""Painting with fixed classes and settings. This module needs no torch and opens no files.

Shapes: C classes, K classes to paint, S scores that compete for a pixel, Y X pixels.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tag2mask.data import Classes
from tag2mask.errors import SettingsError
from tag2mask.masks.paint import BARE, Labels, Maps, competing, decide, keeps_background, predicted_tags
from tag2mask.masks.settings import PaintSettings, Threshold


@dataclass(frozen=True)
class Brush:
    """Assigns classes to pixels; a tag is an index into the names of the classes."""

    classes: Classes
    settings: PaintSettings

    @property
    def has_background(self) -> bool:
        """Whether the classes include a background."""
        return self.classes.background is not None

    @property
    def keeps_background(self) -> bool:
        """Whether pixels may stay background in images that show a class."""
        return keeps_background(self.has_background, self.settings)

    def predicted_tags(self, scores_C: Maps) -> tuple[list[int], bool]:
        """Tags of an image with these logits, and whether the highest was used although none is above the threshold."""
        assert self.settings.tag_threshold is not None
        return predicted_tags(scores_C, self.has_background, self.settings.tag_threshold)

    def names(self, tags: Sequence[int]) -> list[str]:
        """Names of the tags."""
        return [self.classes.names[tag] for tag in tags]

    def competing(self, maps_KYX: Maps, tags: Sequence[int]) -> Maps:
        """Scores ``(S, Y, X)`` that compete for each pixel, from the class maps of ``tags``."""
        return competing(maps_KYX, self.has_background, self.settings, self.thresholds(tags))

    def labels(self, scores_SYX: Maps, scores_C: Maps, tags: Sequence[int]) -> Labels:
        """Label image ``(Y, X)`` of these scores and logits; pixels without a class become ignore."""
        values, logits = [tag + self.classes.offset for tag in tags], scores_C[list(tags)].tolist()
        labels = decide(scores_SYX, values, logits, self.has_background, self.settings, self.thresholds(tags))
        return np.where(labels == BARE, self.classes.ignore, labels)

    def thresholds(self, tags: Sequence[int]) -> list[Threshold | None]:
        """Thresholds set for these classes; None for a class without one."""
        return [self.settings.class_thresholds.get(name) for name in self.names(tags)]

    def without_unsure(self, labels: Labels, shares_SYX: Maps) -> Labels:
        """Set pixels to ignore whose most likely label is less likely than ``unsure``."""
        if self.settings.unsure is None:
            return labels
        return np.where(shares_SYX.max(0, initial=0) < self.settings.unsure, self.classes.ignore, labels)


def resolve_paint(settings: PaintSettings, classes: Classes, tag_threshold: float, where: str) -> PaintSettings:
    """Complete the settings that depend on the model: on its classes, and on its own threshold for tags.

    ``where`` names the model in messages.

    Raises:
        SettingsError: a threshold is set for an unknown class, or for a background although the classes have none.
    """
    for name in settings.class_thresholds:
        if name not in classes.names:
            near = difflib.get_close_matches(name, classes.names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(classes.names)}"
            raise SettingsError(f"a threshold is set for class {name!r}, which {where} does not have; {hint}")
    has_background = classes.background is not None
    if settings.background.value == "agreement" and not has_background:
        raise SettingsError("threshold agreement chooses a background threshold, but the classes have no background")
    own = {"relative": not has_background, "tag_threshold": tag_threshold}
    missing = {name: value for name, value in own.items() if getattr(settings, name) is None}
    return settings.model_copy(update=missing)
