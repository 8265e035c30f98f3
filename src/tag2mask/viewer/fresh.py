"""Masks that a run paints when they are asked for, if it has no mask set yet.

Shapes: Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

from tag2mask.data import Dataset
from tag2mask.errors import DataError
from tag2mask.masks.corrections import Origin
from tag2mask.masks.paint import Labels
from tag2mask.viewer.models import RunModel
from tag2mask.viewer.pictures import Size, image_size


class FreshMasks:
    """The masks of those images of a split that have tags."""

    def __init__(self, model: RunModel, dataset: Dataset, split: str) -> None:
        """List the images.

        Raises:
            DataError: none has tags.
        """
        self.model = model
        self.samples = {sample.name: sample for sample in dataset if sample.tags is not None}
        if not self.samples:
            raise DataError(f"no image of split {split} of {model.run.data} has tags to paint")
        key = f"{model.run.checkpoint_hash()}/{model.painter.settings.model_dump_json()}"
        self.origin = Origin(f"masks-{split}", key, model.run.classes)

    def names(self) -> list[str]:
        """Names of the images, sorted."""
        return sorted(self.samples)

    def labels(self, name: str) -> Labels:
        """Paint the label image ``(Y, X)``."""
        sample = self.samples[name]
        return self.model.labels(self.model.read(sample.image), sorted(sample.tags or ()))

    def size(self, name: str) -> Size:
        """Height and width."""
        return image_size(self.samples[name].image, self.model.run.settings.data)

    def tags(self, name: str) -> Sequence[str]:
        """Names of the tags."""
        return [self.model.run.classes.names[tag] for tag in self.samples[name].tags or ()]
