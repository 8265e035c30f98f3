"""Where the classes end and the background begins: the normalised cut between neighbouring patches. No truth is opened.

Shi and Malik, "Normalized Cuts and Image Segmentation", PAMI 2000, split the pixels of an image into two parts that are
large and little alike. Here the two parts are those patches of all images on either side of a threshold.
Shapes: N patches, D width, S scores, M pairs of neighbours, K patches of a class, T thresholds.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from tag2mask.probe.linear import CHUNK, LinearProbe, possible_logits

POWER = 8  # of the cosine of two features, which gives their affinity
THRESHOLDS = 50
FEWEST = 1000  # a class with fewer patches keeps its threshold
SMALLEST_PART = 0.02  # of the patches of a class


def narrow_classes(
    probe: LinearProbe, features_ND: Tensor, image_N: Tensor, allowed_IS: Tensor, beside_N2: Tensor, narrow: float
) -> LinearProbe:
    """Find, class by class, the lead over the background from which on a patch shows the class.

    The sure patches of a class include some of what often surrounds it, and the layer then finds all of it. But where
    the class really ends, neighbouring patches differ, and few patches lie in between.

    With m_n = logit_nc - logit_n0 at the patches whose most likely class is c, t splits them into A, m > t, and B:

        Ncut(t) = cut(A, B) / |A| + cut(A, B) / |B|,   cut(A, B) = sum of w_ij over neighbours i in A, j in B,
        w_ij = max(cos(x_i, x_j), 0)^8

    The lead of c is the t >= 0 with the smallest Ncut, or 0 if that is above ``narrow`` Ncut(0). As every patch has
    about the same number of neighbours, the paper's association of a part is its number of patches here.

    ``beside_N2`` holds, for each patch, how many rows further the patch to its right and the one below are; 0: none.
    """
    class_N, margin_N = best_classes(probe, features_ND, image_N, allowed_IS)
    first_M, second_M = neighbours(beside_N2)
    alike_M = class_N[first_M] == class_N[second_M]
    first_M, second_M = first_M[alike_M], second_M[alike_M]
    affinity_M = affinities(features_ND, first_M, second_M)
    lead_S = torch.zeros_like(probe.bias_S)
    for score in range(1, len(lead_S)):
        own_M = class_N[first_M] == score
        pairs_2M = torch.stack([margin_N[first_M[own_M]], margin_N[second_M[own_M]]])
        lead_S[score] = best_threshold(margin_N[class_N == score], pairs_2M, affinity_M[own_M], narrow)
    return replace(probe, lead_S=lead_S)


def best_classes(probe: LinearProbe, features_ND: Tensor, image_N: Tensor, allowed_IS: Tensor) -> tuple[Tensor, Tensor]:
    """The most likely class of each patch among the tags of its image, 0 without tags, and its lead: ``(N,)`` each."""
    classes, margins = [], []
    for logits_KS in possible_logits(probe, features_ND, image_N, allowed_IS):
        top_K, class_K = logits_KS[:, 1:].max(1)
        classes.append(torch.where(top_K.isinf(), 0, class_K + 1))
        margins.append(top_K - logits_KS[:, 0])
    return torch.cat(classes), torch.cat(margins)


def neighbours(beside_N2: Tensor) -> tuple[Tensor, Tensor]:
    """All pairs of neighbours, as the rows of both patches: ``(M,)`` each."""
    first_M, side_M = beside_N2.nonzero(as_tuple=True)
    return first_M, first_M + beside_N2[first_M, side_M]


def affinities(features_ND: Tensor, first_M: Tensor, second_M: Tensor) -> Tensor:
    """max(cos(x_i, x_j), 0)^8 of each pair, ``(M,)``."""
    chunks = zip(torch.split(first_M, CHUNK), torch.split(second_M, CHUNK), strict=True)
    cosines = [F.cosine_similarity(features_ND[i].float(), features_ND[j].float()) for i, j in chunks]
    return torch.cat(cosines).clamp_min(0) ** POWER


def best_threshold(margin_K: Tensor, pairs_2M: Tensor, affinity_M: Tensor, narrow: float) -> float:
    """The threshold on the margins of a class with the smallest cut, 0 if this is above ``narrow`` times that at 0."""
    sorted_K = margin_K.sort().values
    count, largest = len(sorted_K), int((1 - SMALLEST_PART) * len(sorted_K))
    if count < FEWEST or sorted_K[largest] <= 0:
        return 0.0
    t_T = torch.linspace(0, sorted_K[largest].item(), THRESHOLDS + 1)[:-1]
    below_T = torch.searchsorted(sorted_K, t_T, right=True)
    # A pair is cut by all t with lower <= t < upper: it counts from the first to before the last of them.
    from_M, to_M = torch.searchsorted(t_T, pairs_2M.sort(0).values)
    change_T = torch.zeros(THRESHOLDS + 1).index_add(0, from_M, affinity_M).index_add(0, to_M, -affinity_M)
    ncut_T = change_T.cumsum(0)[:-1] * (1 / (count - below_T) + 1 / below_T.clamp_min(1))
    fills_images, best = below_T[0] < SMALLEST_PART * count, int(ncut_T.argmin())
    return 0.0 if fills_images or ncut_T[best] > narrow * ncut_T[0] else t_T[best].item()
