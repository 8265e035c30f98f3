"""Painting with one set of classes and one group of settings. Nothing here needs torch or opens a file.

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
    """Gives pixels their classes; a tag is an index into the classes' names."""

    classes: Classes
    settings: PaintSettings

    @property
    def has_background(self) -> bool:
        """Whether there is a class for what no tag names."""
        return self.classes.background is not None

    @property
    def keeps_background(self) -> bool:
        """Whether pixels may stay background where the image shows a class."""
        return keeps_background(self.has_background, self.settings)

    def predicted_tags(self, scores_C: Maps) -> tuple[list[int], bool]:
        """The tags of an image with these logits, and whether the highest had to stand in because none is above 0."""
        return predicted_tags(scores_C, self.has_background)

    def names(self, tags: Sequence[int]) -> list[str]:
        """What the tags are called."""
        return [self.classes.names[tag] for tag in tags]

    def competing(self, maps_KYX: Maps, tags: Sequence[int]) -> Maps:
        """The scores ``(S, Y, X)`` that compete for a pixel, of the class maps of ``tags``."""
        return competing(maps_KYX, self.has_background, self.settings, self.thresholds(tags))

    def labels(self, scores_SYX: Maps, scores_C: Maps, tags: Sequence[int]) -> Labels:
        """The label image ``(Y, X)`` of these scores and logits; pixels without any class are ignore."""
        values, logits = [tag + self.classes.offset for tag in tags], scores_C[list(tags)].tolist()
        labels = decide(scores_SYX, values, logits, self.has_background, self.settings, self.thresholds(tags))
        return np.where(labels == BARE, self.classes.ignore, labels)

    def thresholds(self, tags: Sequence[int]) -> list[Threshold | None]:
        """The own thresholds of these classes, None for a class without one."""
        return [self.settings.class_thresholds.get(name) for name in self.names(tags)]

    def without_unsure(self, labels: Labels, shares_SYX: Maps) -> Labels:
        """The label image with ignore where the most likely label is less likely than the settings want."""
        if self.settings.unsure is None:
            return labels
        return np.where(shares_SYX.max(0, initial=0) < self.settings.unsure, self.classes.ignore, labels)


def resolve_paint(settings: PaintSettings, classes: Classes, where: str) -> PaintSettings:
    """The settings with everything decided that depends on the classes; ``where`` they come from, for messages.

    Raises:
        SettingsError: a threshold is for a class that is not there, or chooses a background where there is none.
    """
    for name in settings.class_thresholds:
        if name not in classes.names:
            near = difflib.get_close_matches(name, classes.names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(classes.names)}"
            raise SettingsError(f"a threshold is set for class {name!r}, which {where} does not have; {hint}")
    has_background = classes.background is not None
    if settings.background.value == "agreement" and not has_background:
        raise SettingsError("the threshold agreement chooses what is background; the classes have none")
    if settings.relative is not None:
        return settings
    return settings.model_copy(update={"relative": not has_background})
