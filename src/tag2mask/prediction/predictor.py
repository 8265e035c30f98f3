"""What masks photographs, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tag2mask.data import Classes, DataSettings
from tag2mask.data.batches import Photographs
from tag2mask.inference.arrays import Floats
from tag2mask.masks.paint import Labels, most_probable
from tag2mask.masks.write import Painted
from tag2mask.refine.settings import RefineSettings


class Predictor(ABC):
    """A model and one way of looking with it; ``data`` is where its own photographs are, None if it cannot know."""

    classes: Classes
    data_settings: DataSettings
    data: Path | None

    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """Everything that decides what the masks look like but the photographs, for the mask set's manifest."""

    @abstractmethod
    def paint(self, batch: Photographs) -> list[Painted]:
        """The masks of photographs of one size."""


def painted(labels: NDArray[np.int64], classes: Classes) -> Painted:
    """A label image with the classes that it has, without the background, as its tags."""
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=len(classes.pixel_names))).tolist()
    return Painted(labels, [classes.names[value - classes.offset] for value in present if value >= classes.offset])


def sharpened(image: Floats, shares_KYX: Floats, settings: RefineSettings, data: DataSettings) -> Labels:
    """The label image ``(Y, X)`` of an image ``(bands, Y, X)`` in [0, 1] after the CRF, which is in torch."""
    from tag2mask.refine.on_image import sharpen_winners

    values_S, shares_SYX = sharpen_winners(image, shares_KYX, settings, data)
    return np.asarray(values_S[most_probable(shares_SYX, image.shape[1:])])
