"""Composition of batches, as a function of seed and epoch, so that any batch can be reproduced."""

from __future__ import annotations

from collections.abc import Iterator

import torch


def mix(*parts: int) -> int:
    """Combine several numbers into one seed, the same on every platform (splitmix64 steps)."""
    state = 0
    for part in parts:
        state = (state ^ (part + 0x9E3779B97F4A7C15)) & 0xFFFFFFFFFFFFFFFF
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1


class EpochBatches:
    """The batches of one epoch from batch ``start`` on, each a list of (seed, index); the last one may be smaller.

    With several processes, each has its own part of a batch: ``batch_size`` images, and an even part of the last
    batch. A process without an image of its own gets another's image, which ``sizes`` does not count.
    """

    drop_last = False

    def __init__(
        self, count: int, batch_size: int, seed: int, epoch: int, start: int = 0, processes: int = 1, process: int = 0
    ) -> None:
        self.count = count
        self.whole = batch_size * processes
        self.seed = seed
        self.epoch = epoch
        self.start = start
        self.processes = processes
        self.process = process

    def __len__(self) -> int:
        return max(-(-self.count // self.whole) - self.start, 0)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        generator = torch.Generator().manual_seed(mix(self.seed, self.epoch))
        order = torch.randperm(self.count, generator=generator).tolist()
        for first in range(self.start * self.whole, self.count, self.whole):
            batch = order[first : first + self.whole]
            own = batch[self.process :: self.processes] or batch[:1]
            yield [(mix(self.seed, self.epoch, index), index) for index in own]

    def sizes(self, place: int) -> tuple[int, int]:
        """Number of images in batch ``place``: this process's own, and those of all processes."""
        whole = min(self.whole, self.count - place * self.whole)
        return len(range(self.process, whole, self.processes)), whole
