"""Images read in batches; consecutive images of the same size go together.

Shapes: Y X pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tag2mask.data.reading import read_scaled
from tag2mask.data.sample import Sample
from tag2mask.data.settings import DataSettings
from tag2mask.data.stores import with_images
from tag2mask.errors import DataError

PIXELS_AT_ONCE = 2**24  # most pixels in a batch; a larger image is a batch of its own

ImageBatch = list[tuple[Sample, NDArray[np.float32]]]


def batches(
    samples: Sequence[Sample], settings: DataSettings, batch_size: int, failures: dict[str, str]
) -> Iterator[ImageBatch]:
    """Yield batches of images ``(bands, Y, X)`` in [0, 1], all of one size; unreadable ones go into ``failures``."""
    batch: ImageBatch = []
    for sample in with_images(samples):
        try:
            image = read_scaled(sample.image, settings)
        except DataError as error:
            failures[sample.name] = str(error)
            continue
        if batch and image.shape != batch[0][1].shape:
            yield batch
            batch = []
        batch.append((sample, image))
        if len(batch) == batch_size or full(batch):
            yield batch
            batch = []
    if batch:
        yield batch


def full(batch: ImageBatch) -> bool:
    """Whether one more image of that size would exceed ``PIXELS_AT_ONCE``."""
    pixels: int = batch[0][1][0].size
    return (len(batch) + 1) * pixels > PIXELS_AT_ONCE
