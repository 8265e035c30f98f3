"""Joint bilateral upsampling: each pixel averages the scores of nearby patches, weighted by similarity of colour.

Kopf, Cohen, Lischinski and Uyttendaele, "Joint Bilateral Upsampling", SIGGRAPH 2007.
Shapes: S scores, K patches in a window, h w patch grid, Y X pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tag2mask.refine.inputs import require_fitting
from tag2mask.vit.grid import resize

REACH = 2  # patches on each side of a pixel's own: a window of 5 x 5
PLACE = 0.75  # deviation of the Gaussian over places, in patches
COLOUR = 0.1  # deviation of the Gaussian over colours in [0, 1], as root mean square over bands


def guided(image: Tensor, scores_SYX: Tensor, grid: Sequence[int]) -> Tensor:
    """Downsample scores ``(S, Y, X)`` to the patch ``grid`` and back, guided by ``image (bands, Y, X)`` in [0, 1].

    ::

        S(p) = sum_q S_q exp(-|p - q|^2 / 2 PLACE^2) exp(-|I_p - I_q|^2 / 2 COLOUR^2) / (the same without S_q)

    over the patches q around pixel p; S_q is the score at a patch's centre, I_q its mean colour. Memory: 25 numbers per
    pixel.
    """
    require_fitting(image, scores_SYX)
    Y, X = scores_SYX.shape[1:]
    scores_Shw = resize(scores_SYX[None], grid)[0]
    colours_hw = F.adaptive_avg_pool2d(image, (grid[0], grid[1]))
    rows = [near(Y, grid[0], step, image) for step in range(-REACH, REACH + 1)]
    columns = [near(X, grid[1], step, image) for step in range(-REACH, REACH + 1)]
    energies = []
    for y, energy_Y in rows:
        for x, energy_X in columns:
            unlike_YX = (at(colours_hw, y, x) - image).square().mean(0)
            energies.append(energy_Y[:, None] + energy_X - unlike_YX / (2 * COLOUR**2))
    weight_KYX = torch.stack(energies).softmax(0)
    windows = [(y, x) for y, _ in rows for x, _ in columns]
    total_SYX = torch.zeros_like(scores_SYX)
    for weight_YX, (y, x) in zip(weight_KYX, windows, strict=True):
        total_SYX += weight_YX * at(scores_Shw, y, x)
    return total_SYX


def near(pixels: int, patches: int, step: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Along one axis, index of the patch ``step`` away from each pixel's own, and the log of its Gaussian weight.

    Patches beyond the edges have weight 0.
    """
    place = (torch.arange(pixels, device=like.device) + 0.5) * (patches / pixels) - 0.5
    patch = place.round().long() + step
    energy = -(place - patch).square() / (2 * PLACE**2)
    return patch.clamp(0, patches - 1), energy.masked_fill((patch < 0) | (patch >= patches), float("-inf"))


def at(values_hw: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Read ``(..., h, w)`` at these rows and columns: ``(..., Y, X)``."""
    return values_hw.index_select(-2, y).index_select(-1, x)
