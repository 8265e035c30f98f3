"""Application of refiners on pixels to class maps and to the scores that compete for a pixel, in torch.

Shapes: C classes, K classes to paint, S scores that compete, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tag2mask.data import DataSettings
from tag2mask.data.resizing import resize_array, resize_bilinear
from tag2mask.inference.arrays import Floats
from tag2mask.refine.chain import PIXEL_REFINERS, refine_pixels
from tag2mask.refine.dense_crf import CRF_ENGINES
from tag2mask.refine.joint_bilateral import guided
from tag2mask.refine.settings import CRF, GUIDED, RefineSettings
from tag2mask.tensors import inference_device
from tag2mask.vit.grid import resize


def finished_maps(maps_CYX: Tensor, tags: Sequence[int], image: Tensor, settings: RefineSettings) -> Tensor:
    """Class maps of ``tags`` at the image's size, refined on pixels: ``(K, Y, X)``, ready for painting."""
    if not tags:
        return torch.zeros(0, *image.shape[-2:])
    maps_KYX = resize(maps_CYX[None, list(tags)], image.shape[-2:])[0]
    names = [name for name in settings.names or () if name in PIXEL_REFINERS]
    if not names:
        return maps_KYX
    return at_refine_side(image, maps_KYX, settings, partial(refine_pixels, names=names))


def sharpen(
    image: Tensor, scores_SYX: Tensor, grid: tuple[int, int], settings: RefineSettings, data: DataSettings
) -> Tensor:
    """Apply the refiners that compare colours to scores from a ``grid`` (rows, columns) of patches."""
    colours = colour_bands(image, data)
    if settings.uses(GUIDED):
        scores_SYX = at_refine_side(colours, scores_SYX, settings, lambda x, y: guided(x, y, grid))
    if settings.uses(CRF):
        engine = CRF_ENGINES[settings.crf_engine]
        scores_SYX = at_refine_side(colours, scores_SYX, settings, lambda x, y: engine(x, y, settings.crf))
    return scores_SYX


def colour_bands(image: Tensor, settings: DataSettings) -> Tensor:
    """Select the bands of ``(bands, Y, X)`` that are displayed as colours; all bands if they are not set."""
    return image if settings.rgb is None else image[list(settings.rgb)]


def at_refine_side(
    image: Tensor, maps_KYX: Tensor, settings: RefineSettings, refine: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Apply ``refine`` to image and maps, shrunk to a long side of at most ``side``; resize the result back.

    The work is done on the GPU if there is one; the result is where the maps were.
    """
    size, device = image.shape[-2:], inference_device()
    shrink = min(1.0, settings.side / max(size))
    small = [max(round(side * shrink), 1) for side in size]
    refined = refine(resize(image[None].to(device), small)[0], resize(maps_KYX[None].to(device), small)[0])
    return resize(refined[None], size)[0].to(maps_KYX.device)


def sharpen_winners(
    image: Floats, shares_KYX: Floats, settings: RefineSettings, data: DataSettings
) -> tuple[NDArray[np.int64], Floats]:
    """Find the classes that win somewhere, and run the CRF on their probabilities on the shrunken image.

    Return the classes and their probabilities. ``image (bands, Y, X)`` is in [0, 1]; ``shares (K, Y, X)`` are
    probabilities of any size.
    """
    height, width = image.shape[1:]
    shrink = min(1.0, settings.side / max(height, width))
    small = max(round(height * shrink), 1), max(round(width * shrink), 1)
    values_S = np.unique(shares_KYX.argmax(0))
    scores_SYX = torch.from_numpy(resize_bilinear(shares_KYX[values_S], small))
    colours = colour_bands(torch.from_numpy(resize_array(image, small)), data)
    return values_S, CRF_ENGINES[settings.crf_engine](colours, scores_SYX, settings.crf).numpy()
