"""Validation: how well a method predicts the tags of images that it does not learn from.

Every process handles its part of the images, in batches of equal size. Shapes: B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from tag2mask.data import Sample
from tag2mask.data.loading import TaggedImages, multi_hot, read_batches
from tag2mask.data.transforms import eval_resize
from tag2mask.methods import Method
from tag2mask.training.interrupt import ignore_interrupt
from tag2mask.training.scores import TagScores, tag_scores
from tag2mask.training.together import collect

WAITING = 8  # batches: at most this many batches' worth of images wait for others of their size

Indexed = tuple[int, Tensor]


class WholeImages(TorchDataset[Indexed]):
    """Images with a short side of ``side`` pixels and their own aspect ratio, normalised; an item is (index, image)."""

    def __init__(
        self,
        samples: Sequence[Sample],
        images: TaggedImages,
        side: int,
        patch: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        self.samples = samples
        self.images = images
        self.side = side
        self.patch = patch
        self.mean = mean
        self.std = std

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Indexed:
        image = self.images.read(self.samples[index])
        return index, eval_resize(image, self.side, self.patch, self.mean, self.std)[0]


def score_tags(
    accelerator: Accelerator, method: Method, whole: WholeImages, batch_size: int, workers: int
) -> TagScores:
    """AP and F1 over all images, the same on every process; ``method`` is set to evaluation mode."""
    method.eval()
    own = list(range(accelerator.process_index, len(whole), accelerator.num_processes))
    # batch_size None: single items, not collated
    reader: DataLoader[Indexed] = DataLoader(
        whole, batch_size=None, sampler=own, num_workers=workers, worker_init_fn=ignore_interrupt
    )
    found: list[tuple[int, NDArray[np.float32]]] = []
    for batch in of_one_size(read_batches(reader), batch_size):
        found += zip([index for index, _ in batch], logits_of(accelerator, method, batch), strict=True)
    scores = np.stack([row for _, row in sorted(collect(found), key=lambda pair: pair[0])])
    tags = np.stack([multi_hot(sample.tags or (), whole.images.classes).numpy() for sample in whole.samples])
    return tag_scores(scores, tags)


@torch.no_grad()
def logits_of(accelerator: Accelerator, method: Method, batch: Sequence[Indexed]) -> NDArray[np.float32]:
    """Logits ``(B, C)`` of images of equal size."""
    pixels = torch.stack([image for _, image in batch]).to(accelerator.device)
    with accelerator.autocast():
        scores_BC = method(pixels).scores_BC
    logits: NDArray[np.float32] = scores_BC.float().cpu().numpy()
    return logits


def of_one_size(images: Iterator[Indexed], batch_size: int) -> Iterator[list[Indexed]]:
    """Yield all images in batches of equal size, as full as possible while only a limited number of images wait."""
    waiting: dict[torch.Size, list[Indexed]] = {}
    for index, image in images:
        alike = waiting.setdefault(image.shape, [])
        alike.append((index, image))
        if len(alike) < batch_size and sum(map(len, waiting.values())) < WAITING * batch_size:
            continue
        fullest = max(waiting, key=lambda shape: len(waiting[shape]))
        yield waiting.pop(fullest)
    yield from waiting.values()
