"""Repainting of images with known tags by a segmenter that was trained on their masks.

Shapes: K pixel classes, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tag2mask._version import __version__
from tag2mask.beside import read_ahead
from tag2mask.data import Sample
from tag2mask.data.batches import batches
from tag2mask.errors import DataError
from tag2mask.evaluation.evaluate import paintable
from tag2mask.inference.arrays import Floats
from tag2mask.inference.look import mean_probabilities
from tag2mask.masks.paint import most_probable
from tag2mask.masks.write import MaskSet, MaskSetWriter, Painted, current_tags
from tag2mask.prediction.settings import PredictSettings
from tag2mask.progress import progress_bar
from tag2mask.segmentation.crops import LabelledImage
from tag2mask.segmentation.folder import SegmenterRun
from tag2mask.segmentation.network import network_of
from tag2mask.tensors import inference_device


def repaint(student: SegmenterRun, images: Sequence[LabelledImage], tagged: MaskSet, out: Path) -> None:
    """Write the student's masks of ``images``, limited to each image's tags in the mask set ``tagged``.

    After an interruption, the same call resumes.

    Raises:
        DataError: an image cannot be read.
        MaskSetError: ``out`` holds something else.
    """
    settings = PredictSettings()
    network = network_of(student, student.load(inference_device()))
    writer = MaskSetWriter(out, student.classes, describe_repainting(student, tagged, settings))
    tags = current_tags(tagged)
    missing = [Sample(one.name, one.image) for one in images if not writer.has(one.name)]
    failures: dict[str, str] = {}
    with progress_bar("repaint", len(images), len(images) - len(missing)) as bar:
        for batch in read_ahead(batches(missing, student.data_settings, settings.look.batch_size, failures)):
            shares = mean_probabilities(network, [image for _, image in batch], settings.look)
            for (sample, image), shares_KYX in zip(batch, shares, strict=True):
                allowed = paintable(student.classes, tags[sample.name])
                labels = most_probable_of(shares_KYX, allowed, image.shape[-2:], student.classes.ignore)
                writer.add(sample.name, Painted(labels, tags[sample.name]))
            bar.advance(len(batch))
    if failures:
        raise DataError(next(iter(failures.values())))
    writer.finish({})


def most_probable_of(shares_KYX: Floats, allowed: Sequence[int], size: Sequence[int], ignore: int) -> NDArray[np.int64]:
    """Return the label image ``(Y, X)`` by the softmax over ``allowed`` classes; if there are none, all is ``ignore``.

    Renormalising a softmax over the allowed classes, e_k / sum_allowed e, gives the softmax over these classes.
    """
    if not allowed:
        return np.full(tuple(size), ignore, np.int64)
    own_KYX = shares_KYX[list(allowed)]
    own_KYX = own_KYX / own_KYX.sum(0).clip(np.finfo(own_KYX.dtype).tiny)
    return np.asarray(allowed, np.int64)[most_probable(own_KYX, size)]


def describe_repainting(student: SegmenterRun, tagged: MaskSet, settings: PredictSettings) -> dict[str, Any]:
    """Return everything that determines the masks, for the manifest."""
    tags = tagged.manifest.get("settings", {}).get("tags", "unknown")
    return {
        "tool": f"tag2mask {__version__}",
        "torch": str(torch.__version__),
        "data": str(student.data),
        "segmenter": student.path.resolve().name,
        "checkpoint_sha256": student.checkpoint_hash(),
        "settings": {**settings.model_dump(mode="json"), "tags": tags},
        "labels_used": f"{tagged.manifest.get('labels_used', 'unknown')}, repainted by {student.path.resolve().name}",
        "truth_used": student.origin["truth_used"],
    }
