"""A linear classifier of patches, learned from the sure patches of a data set, and estimates of class frequencies.

Pure functions on tensors. Shapes: N patches, D width, S scores: background first if there is one, then the classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

UNSURE = -1  # label of a patch that is not learned from
NEVER = -1e4  # logit of a score without any sure patch
SMALLEST = 1e-6  # smallest prior
EM_STEPS = 50
EM_LOGITS = 2**27  # largest number of logits: beyond it, patches are thinned out evenly
CHUNK = 2**16  # patches processed at once


@dataclass(frozen=True)
class LinearProbe:
    """Logits ``x @ weight_SD.T + bias_S``; a score without any sure patch has the bias ``NEVER``.

    ``lead_S`` is how far a class must be above the background, score 0, to be more likely than it; None: 0.
    """

    weight_SD: Tensor
    bias_S: Tensor
    lead_S: Tensor | None = None

    def __call__(self, features_ND: Tensor) -> Tensor:
        """``(N, D)`` to logits ``(N, S)``."""
        return F.linear(features_ND.float(), self.weight_SD, self.bias_S)

    def within(self, features_ND: Tensor, allowed_NS: Tensor) -> Tensor:
        """Logits ``(N, S)`` among the scores that are allowed; those of the others are minus infinity.

        The background's logit rises by the lead that the most likely class needs.
        """
        logits_NS = self(features_ND).masked_fill(~allowed_NS, -math.inf)
        if self.lead_S is not None:
            top_N, best_N = logits_NS[:, 1:].max(1)
            logits_NS[:, 0] += self.lead_S[1:][best_N].masked_fill(top_N.isinf(), 0.0)
        return logits_NS

    def with_priors(self, priors_S: Tensor) -> LinearProbe:
        """Return the classifier under these priors: their logarithms are added to the logits."""
        return replace(self, bias_S=self.bias_S + priors_S.log())


def fit_probe(
    features_ND: Tensor,
    labels_N: Tensor,
    worth_N: Tensor,
    scores: int,
    steps: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
    generator: torch.Generator,
) -> LinearProbe:
    """Fit a probe by class-balanced cross-entropy on sure patches, so that logits are log-likelihoods up to a constant.

    Every score has the same weight in the loss, whatever its number of sure patches, because that number reflects how
    strict the labels were, not how common the class is. Within a score, a patch counts by its ``worth_N``. Features are
    standardised. The optimiser is AdamW with a one-cycle rate; batches are drawn with ``generator``.

    Raises:
        ValueError: no patch is sure.
    """
    sure_K = (labels_N != UNSURE).nonzero().flatten()
    if len(sure_K) == 0:
        raise ValueError("no patch is sure")
    worth_S = torch.bincount(labels_N[sure_K], worth_N[sure_K], minlength=scores)
    unseen_S = worth_S == 0
    weights_S = torch.where(unseen_S, 0.0, len(sure_K) / (worth_S * (~unseen_S).sum()))
    mean_D, std_D = moments(features_ND[sure_K])
    weight_SD = torch.zeros(scores, features_ND.shape[1], requires_grad=True)
    bias_S = torch.zeros(scores, requires_grad=True)
    optimiser = torch.optim.AdamW([weight_SD, bias_S], lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps)
    for _ in range(steps):
        drawn_K = sure_K[torch.randint(len(sure_K), (batch_size,), generator=generator)]
        z_KD = (features_ND[drawn_K].float() - mean_D) / std_D
        logits_KS = F.linear(z_KD, weight_SD, bias_S).masked_fill(unseen_S, NEVER)
        # The mean over the batch, not over its weights: otherwise batches without a rare class would count more.
        energy_K = F.cross_entropy(logits_KS, labels_N[drawn_K], weight=weights_S, reduction="none")
        optimiser.zero_grad()
        torch.autograd.backward((worth_N[drawn_K] * energy_K).mean())
        optimiser.step()
        schedule.step()
    weight_SD, bias_S = (weight_SD / std_D).detach(), bias_S.detach()
    return LinearProbe(weight_SD, torch.where(unseen_S, NEVER, bias_S - weight_SD @ mean_D))


def moments(features_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(D,)``; each chunk is summed in float32."""
    total_D = torch.zeros(features_ND.shape[1], dtype=torch.float64)
    squares_D = torch.zeros_like(total_D)
    for chunk_KD in torch.split(features_ND, CHUNK):
        total_D += chunk_KD.float().sum(0)
        squares_D += chunk_KD.float().square().sum(0)
    mean_D = total_D / len(features_ND)
    variance_D = squares_D / len(features_ND) - mean_D.square()
    return mean_D.float(), variance_D.clamp_min(1e-10).sqrt().float()


def estimate_priors(
    probe: LinearProbe, features_ND: Tensor, image_N: Tensor, allowed_IS: Tensor, background: bool
) -> tuple[Tensor, Tensor]:
    """Estimate priors and the frequency of each score among the patches of images that may show it, both ``(S,)``.

    Expectation-maximisation without truth (Saerens, Latinne and Decaestecker, "Adjusting the Outputs of a Classifier to
    New a Priori Probabilities", Neural Computation 2002), constrained by tags: a patch of image i can only show the
    scores ``allowed_IS[i]``. E: q_ns ~ prior_s exp(logit_ns) over the allowed scores. M: the frequency of s is the mean
    of q_ns over the patches of images that allow s. It is the prior of the background; all classes share the mean over
    theirs, or a class that another often covers would become rarer with every step.
    """
    stride = max(1, math.ceil(len(features_ND) * probe.bias_S.numel() / EM_LOGITS))
    image_K = image_N[::stride]
    logits_KS = torch.cat(list(possible_logits(probe, features_ND[::stride], image_K, allowed_IS)))
    patches_S = allowed_IS[image_K].sum(0).clamp_min(1)
    known_S = probe.bias_S > NEVER
    known_S[: int(background)] = False
    priors_S = torch.full((logits_KS.shape[1],), 1 / 2)
    for _ in range(EM_STEPS):
        total_S = sum_probabilities(chunk_KS + priors_S.log() for chunk_KS in torch.split(logits_KS, CHUNK))
        shares_S = (total_S / patches_S).clamp_min(SMALLEST)
        priors_S = torch.where(known_S, total_S[known_S].sum() / patches_S[known_S].sum(), shares_S)
    return priors_S, shares_S


def estimate_frequencies(probe: LinearProbe, features_ND: Tensor, image_N: Tensor, allowed_IS: Tensor) -> Tensor:
    """The mean probability of each score over the patches of images that may show it, ``(S,)``."""
    total_S = sum_probabilities(possible_logits(probe, features_ND, image_N, allowed_IS))
    return total_S / allowed_IS[image_N].sum(0).clamp_min(1)


def sum_probabilities(logits: Iterable[Tensor]) -> Tensor:
    """Sum the probability of each score over the patches of all chunks ``(K, S)``: ``(S,)``."""
    return sum((chunk_KS.softmax(1).sum(0) for chunk_KS in logits), torch.zeros(()))


def possible_logits(probe: LinearProbe, features_ND: Tensor, image_N: Tensor, allowed_IS: Tensor) -> Iterator[Tensor]:
    """Yield logits ``(K, S)`` of the patches in chunks; minus infinity where an image's tags rule out a score."""
    for first in range(0, len(features_ND), CHUNK):
        chunk = slice(first, first + CHUNK)
        yield probe.within(features_ND[chunk], allowed_IS[image_N[chunk]])


def confident_labels(
    probe: LinearProbe,
    features_ND: Tensor,
    image_N: Tensor,
    allowed_IS: Tensor,
    labels_N: Tensor,
    confidence: float,
) -> Tensor:
    """Relabel patches ``(N,)``: the score with a probability above ``confidence`` among those the tags allow.

    A score without any confident patch keeps its old labels.
    """
    tops = [logits_KS.softmax(1).max(1) for logits_KS in possible_logits(probe, features_ND, image_N, allowed_IS)]
    likely_N, best_N = (torch.cat(part) for part in zip(*tops, strict=True))
    return keep_lost(labels_N, torch.where(likely_N > confidence, best_N, UNSURE))


def keep_lost(before_N: Tensor, after_N: Tensor) -> Tensor:
    """Return the labels ``after_N``; a score that no patch has there keeps its patches of ``before_N``."""
    lost_N = (before_N != UNSURE) & ~torch.isin(before_N, after_N)
    return torch.where(lost_N, before_N, after_N)
