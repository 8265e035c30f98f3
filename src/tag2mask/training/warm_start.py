"""Warm start: before the first step, fit the head to the tags on features of the pretrained backbone.

It takes seconds and saves epochs: one logistic regression per class on the features that its head receives.
Shapes: N images, C classes, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from tag2mask.data import Sample
from tag2mask.data.loading import TaggedImages, multi_hot
from tag2mask.data.transforms import eval_resize
from tag2mask.errors import SettingsError
from tag2mask.methods import Method
from tag2mask.methods.base import Readout
from tag2mask.progress import progress_bar
from tag2mask.training.interrupt import Interrupt
from tag2mask.training.settings import TrainSettings, with_heads_rate

IMAGES, NUMBERS = 2000, 2**28  # limits on the number of images, and on the number of features of all of them
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # on the squared weights, chosen by cross-validation
FOLDS = 5
RARE = -2.0  # initial bias: most classes are absent from most images


def decide_warm_start(settings: TrainSettings, method: Method) -> TrainSettings:
    """Return the settings with ``lr_heads`` set.

    Raises:
        SettingsError: a warm start is requested, but the method or the weights do not allow one.
    """
    possible = method.readout is not None and settings.weights != "none"
    if settings.warm_start and not possible:
        raise SettingsError(
            "warm_start=true needs pretrained weights and a method whose head can be fitted, such as attended; "
            "leave warm_start out"
        )
    return with_heads_rate(settings)


def start_warm(
    accelerator: Accelerator,
    method: Method,
    images: TaggedImages,
    side: int,
    normalisation: tuple[Sequence[float], Sequence[float]],
    interrupt: Interrupt,
) -> None:
    """Fit the method's head to the images' tags; the backbone does not change.

    Raises:
        KeyboardInterrupt: a signal arrived.
    """
    readout = method.readout
    assert readout is not None
    method.to(accelerator.device).eval()
    some = thin_out(images.samples, min(IMAGES, max(NUMBERS // readout.vector_CD.numel(), FOLDS)))
    read, tags = [], []
    with progress_bar("warm start", len(some), shown=accelerator.is_main_process) as bar:
        for sample in some:
            pixels, _ = eval_resize(images.read(sample), side, method.patch, *normalisation)
            with torch.no_grad(), accelerator.autocast():
                read.append(readout.read(pixels[None].to(accelerator.device))[0].float().cpu())
            tags.append(multi_hot(sample.tags or (), images.classes))
            bar.advance()
            if interrupt.asked:
                raise KeyboardInterrupt
    fill_readout(readout, torch.stack(read), torch.stack(tags))


def thin_out(samples: Sequence[Sample], count: int) -> Sequence[Sample]:
    """Return at most ``count`` samples, evenly spaced."""
    return samples[:: -(-len(samples) // count)]


def fill_readout(readout: Readout, read_NCD: Tensor, tags_NC: Tensor) -> None:
    """Set the head to the best penalised logistic regression of the tags."""
    vector_CD, bias_C = fit_logistic(read_NCD, tags_NC, best_penalty(read_NCD, tags_NC))
    with torch.no_grad():
        readout.vector_CD.copy_(vector_CD)
        readout.bias_C.copy_(bias_C)


def best_penalty(read_NCD: Tensor, tags_NC: Tensor) -> float:
    """Return the penalty with the lowest cross-entropy on held-out images."""
    fold_N = torch.arange(len(read_NCD)) % FOLDS
    losses = []
    for penalty in PENALTIES:
        loss = 0.0
        for fold in range(min(FOLDS, len(read_NCD) - 1)):
            held_N = fold_N == fold
            vector_CD, bias_C = fit_logistic(read_NCD[~held_N], tags_NC[~held_N], penalty)
            logits_NC = (read_NCD[held_N] * vector_CD).sum(-1) + bias_C
            loss += F.binary_cross_entropy_with_logits(logits_NC, tags_NC[held_N], reduction="sum").item()
        losses.append(loss)
    return PENALTIES[min(range(len(losses)), key=losses.__getitem__)]


def fit_logistic(read_NCD: Tensor, tags_NC: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Fit ``w (C, D)`` and ``b (C,)`` of logits w_c . r_c + b_c by L-BFGS: mean cross-entropy + penalty / 2 |w|^2 / C.

    Features are standardised for the fit; the result applies to the original features.
    """
    mean_D, std_D = read_NCD.mean((0, 1)), read_NCD.std((0, 1)) + 1e-6
    z_NCD = (read_NCD - mean_D) / std_D
    w_CD = torch.zeros(z_NCD.shape[1:], requires_grad=True)
    b_C = torch.full(tags_NC.shape[1:], RARE, requires_grad=True)
    optimiser = torch.optim.LBFGS([w_CD, b_C], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        entropy = F.binary_cross_entropy_with_logits((z_NCD * w_CD).sum(-1) + b_C, tags_NC)
        total = entropy + penalty / 2 * w_CD.square().sum() / len(w_CD)
        torch.autograd.backward(total)
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call, unused-ignore]
    vector_CD = (w_CD / std_D).detach()
    return vector_CD, b_C.detach() - vector_CD @ mean_D
