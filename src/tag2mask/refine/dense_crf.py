"""Fully connected CRF by mean field on a lattice: nearby pixels of similar colour pull each other to one class.

Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials", NeurIPS 2011.
Shapes: S classes (the background first if there is one), Y X pixels, N pixels.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tag2mask.errors import SettingsError
from tag2mask.refine.compiled_lattice import CompiledLattice
from tag2mask.refine.inputs import require_fitting
from tag2mask.refine.lattice import Lattice
from tag2mask.refine.settings import CRFSettings

EPS = 1e-20


@torch.no_grad()
def crf(image: Tensor, scores_SYX: Tensor, settings: CRFSettings | None = None, **constants: Any) -> Tensor:
    """Class probabilities ``(S, Y, X)`` after mean field; ``image (bands, Y, X)`` is in [0, 1], ``scores`` >= 0.

    Q <- softmax(-U + w_1 K_1 Q + w_2 K_2 Q), both kernels normalised symmetrically (Potts model): Kraehenbuehl and
    Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials", NeurIPS 2011, equation 6.
    Without ``settings``, ``constants`` are fields of ``CRFSettings``.

    Raises:
        SettingsError: a constant is unknown or invalid.
        ValueError: image and scores have other shapes, or values that are not finite or below 0.

    Example:
        >>> image, scores = torch.rand(3, 32, 48), torch.rand(2, 32, 48)
        >>> crf(image, scores, iterations=3).sum(0).allclose(torch.ones(32, 48))
        True
    """
    settings = settings or CRFSettings.parse(constants, where="crf")
    require_fitting(image, scores_SYX)
    if image.ndim != 3 or scores_SYX.amin() < 0:
        raise ValueError("crf: expected one image, not a batch, and scores of at least 0")
    if len(scores_SYX) < 2:
        return torch.ones_like(scores_SYX)
    negative_NS = -unary(scores_SYX, settings).flatten(1).T
    kernels = [(weight, normalised_kernel(features)) for weight, features in pairwise(image, settings)]
    q_NS = negative_NS.softmax(1)
    for _ in range(settings.iterations):
        pulled_NS = negative_NS.clone()
        for weight, kernel in kernels:
            pulled_NS.add_(kernel.filter(q_NS), alpha=weight)
        q_NS = pulled_NS.softmax(1)
    return q_NS.T.reshape(scores_SYX.shape)


def crf_in_cpp(image: Tensor, scores_SYX: Tensor, settings: CRFSettings) -> Tensor:
    """The same with pydensecrf2, on the CPU."""
    from pydensecrf import densecrf

    if len(scores_SYX) < 2:
        return torch.ones_like(scores_SYX)
    energy_SN = unary(scores_SYX, settings).flatten(1).float().contiguous()
    field = densecrf.DenseCRF(energy_SN.shape[1], len(energy_SN))
    field.setUnaryEnergy(energy_SN.cpu().numpy())
    for weight, features_NF in pairwise(image, settings):
        field.addPairwiseEnergy(features_NF.T.contiguous().cpu().numpy(), compat=weight)
    return torch.from_numpy(np.array(field.inference(settings.iterations))).reshape(scores_SYX.shape)


CRF_ENGINES: Mapping[str, Callable[[Tensor, Tensor, CRFSettings], Tensor]] = MappingProxyType(
    {"torch": crf, "pydensecrf2": crf_in_cpp}
)


def require_engine(name: str) -> None:
    """Check that the package of the engine is installed.

    Raises:
        SettingsError: it is not.
    """
    if name == "pydensecrf2" and importlib.util.find_spec("pydensecrf") is None:
        raise SettingsError("crf_engine pydensecrf2 needs the extra crf: pip install 'tag2mask[crf]'")


def pairwise(image: Tensor, settings: CRFSettings) -> list[tuple[float, Tensor]]:
    """Kernels with a positive weight: the weight, and the pixels' features ``(N, F)`` in units of their deviations."""
    scale = 1.0 if settings.size is None else max(image.shape[1:]) / settings.size
    places_N2 = places(image.shape[1], image.shape[2], image) / scale
    both = [
        (settings.place_weight, places_N2 / settings.place),
        (settings.colour_weight, coloured_places(image, places_N2, settings)),
    ]
    return [(weight, features_NF) for weight, features_NF in both if weight > 0]


def normalised_kernel(features_NF: Tensor) -> CompiledLattice | Lattice:
    """A Gaussian kernel between all pairs of points, D^-1/2 K D^-1/2: compiled where the features are on a CPU."""
    build = CompiledLattice if features_NF.device.type == "cpu" else Lattice
    lattice = build(features_NF)
    degree_N1 = lattice.filter(torch.ones(len(features_NF), 1, device=features_NF.device))
    lattice.weigh((degree_N1[:, 0] + EPS).rsqrt())
    return lattice


def unary(scores_SYX: Tensor, settings: CRFSettings) -> Tensor:
    """Unary energies ``(S, Y, X)``: minus the logarithm of a probability."""
    S = len(scores_SYX)
    if settings.unary == "scores":
        total_1YX = scores_SYX.sum(0, keepdim=True)
        share_SYX = torch.where(
            total_1YX > 0, scores_SYX / total_1YX.clamp_min(EPS), torch.full_like(scores_SYX, 1 / S)
        )
        return -share_SYX.clamp_min(1e-5).log()
    energy = torch.full_like(scores_SYX, (1 - settings.trust) / (S - 1)).log().neg()
    believed = torch.full_like(scores_SYX[:1], settings.trust).log().neg()
    return energy.scatter(0, scores_SYX.argmax(0, keepdim=True), believed)


def places(height: int, width: int, like: Tensor) -> Tensor:
    """Column and row of every pixel, ``(N, 2)``."""
    rows, columns = torch.meshgrid(
        torch.arange(height, device=like.device), torch.arange(width, device=like.device), indexing="ij"
    )
    return torch.stack([columns.flatten(), rows.flatten()], 1).float()


def coloured_places(image: Tensor, places_N2: Tensor, settings: CRFSettings) -> Tensor:
    """Place and colour of every pixel in units of their deviations, ``(N, 2 + bands)``; at most three bands."""
    colours = (image[:3] * 255).flatten(1).T / settings.colour
    return torch.cat([places_N2 / settings.colour_place, colours], 1)
