"""How many images fit into memory at once, estimated from the memory that steps with one and with two of them take."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tag2mask.errors import SettingsError
from tag2mask.notation import read_bytes, show_bytes
from tag2mask.shown import counted
from tag2mask.training.checkpoint import SLOTS
from tag2mask.training.settings import LoopSettings
from tag2mask.vit.vit import recompute_blocks

USED = 0.9  # of the memory given: the rest is for what is not tensors, and for gaps between them
BUSY = 4  # images at once that keep a GPU busy; with fewer, computing blocks twice is faster than more parts
COUNTING = ("cuda", "xpu")  # devices whose allocator counts


@dataclass(frozen=True)
class Fit:
    """How many images are computed at once, and whether the backward pass computes blocks again."""

    micro_batch: int
    recompute: bool

    def describe(self, memory: str, batch: int) -> str:
        """Say in one line how a batch fits into the memory given."""
        images = (
            f"all {batch} images of a batch" if self.micro_batch >= batch else f"{self.micro_batch} of {batch} images"
        )
        return f"memory {memory}: {images} at once{', with gradient checkpointing' if self.recompute else ''}"


@dataclass(frozen=True)
class Costs:
    """Bytes that a step takes above what is loaded, by number of images: ``base + each x images``."""

    base: float
    each: float

    @classmethod
    def through(cls, one: int, two: int) -> Costs:
        """Return the line through the bytes of one and of two images."""
        each = max(two - one, 1)
        return cls(one - each, each)

    def largest(self, room: float) -> int:
        """Return the largest number of images that fit into this many bytes; 0 if none does."""
        return max(int((room - self.base) / self.each), 0)


def fit_step(
    step: Callable[[int], object],
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    settings: LoopSettings,
    device: torch.device,
    fewest: int,
) -> Fit:
    """Choose how a batch fits into the setting ``memory``; ``step`` adds the gradients of that many images.

    Raises:
        SettingsError: not even ``fewest`` images fit.
    """
    assert settings.memory is not None
    gradients = gradient_bytes(module)
    held = used_bytes(device) + optimiser_bytes(optimiser, module) + (settings.accumulate > 1) * gradients
    recomputes = measure_step(step, 1, module, device, False)[1]  # what the first step alone takes does not count

    costs = partial(measure_costs, step, module, device)
    enough = fewest if device.type == "cpu" else max(fewest, BUSY)
    room = USED * read_bytes(settings.memory) - held
    fit = choose_fit(costs, room, settings.batch_size, gradients, enough, recomputes)
    if fit.micro_batch < min(fewest, settings.batch_size):
        few = counted(fewest, "image")
        raise SettingsError(
            f"memory={settings.memory}: too little for {few} at once, since {show_bytes(held)} are taken before the "
            "first; allow more, or use smaller images or a smaller backbone"
        )
    return fit


def choose_fit(
    costs: Callable[[bool], Costs], room: float, batch: int, extra: float, enough: int, recomputes: bool
) -> Fit:
    """Choose how a batch fits into ``room`` bytes, from the costs without and with computing blocks again.

    A batch in parts takes ``extra`` bytes more. Blocks are only computed again if the model has such
    (``recomputes``), fewer than ``enough`` images fit otherwise, and more do then.
    """
    best = Fit(0, False)
    for recompute in (False, True) if recomputes else (False,):
        cost = costs(recompute)
        images = batch if cost.largest(room) >= batch else min(cost.largest(room - extra), batch)
        best = Fit(images, recompute) if images > best.micro_batch else best
        if best.micro_batch >= min(enough, batch):
            break
    return best


def measure_costs(step: Callable[[int], object], module: nn.Module, device: torch.device, recompute: bool) -> Costs:
    """Measure a step with one and with two images."""
    one, two = (measure_step(step, images, module, device, recompute)[0] for images in (1, 2))
    return Costs.through(one, two)


def measure_step(
    step: Callable[[int], object], images: int, module: nn.Module, device: torch.device, recompute: bool
) -> tuple[int, bool]:
    """Return the most bytes of a step, and whether the module has blocks to compute again; it changes nothing."""
    recomputes = recompute_blocks(module, recompute)
    with buffers_kept(module):
        most = peak_bytes(lambda: step(images), module, device)
    module.zero_grad()
    return most, recomputes


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors made in its context, and the most there were at one time."""

    def __init__(self, before: Sequence[Tensor]) -> None:
        """Leave out the tensors ``before``, which views may return again."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: dict[int, int] = {tensor.untyped_storage()._cdata: 0 for tensor in before}
        self.now = self.most = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and count its outputs."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self.count(tensor.untyped_storage())
        return made

    def count(self, storage: torch.UntypedStorage) -> None:
        """Count a storage once, until it is freed."""
        place = storage._cdata
        if place not in self.sizes:
            self.sizes[place] = storage.nbytes()
            self.now += self.sizes[place]
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self.free, place)

    def free(self, place: int) -> None:
        """Forget a storage."""
        self.now -= self.sizes.pop(place)


def peak_bytes(work: Callable[[], object], module: nn.Module, device: torch.device) -> int:
    """Return the most bytes that ``work`` takes above what the module takes, on the module's device."""
    if device.type in COUNTING:
        before = torch.accelerator.memory_allocated(device)
        torch.accelerator.reset_peak_memory_stats(device)
        work()
        return torch.accelerator.max_memory_allocated(device) - before
    live = LiveBytes([*module.parameters(), *module.buffers()])
    with live:
        work()
    return live.most


@contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """After this context, the module's buffers, such as the statistics of BatchNorm, are as before."""
    before = [buffer.clone() for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, value in zip(module.buffers(), before, strict=True):
            buffer.copy_(value)


def used_bytes(device: torch.device) -> int:
    """Bytes in use: those of this process, or those of its tensors on a GPU."""
    if device.type in COUNTING:
        return torch.accelerator.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def free_bytes(device: torch.device) -> int:
    """Bytes that this process could still take on the device."""
    if device.type in COUNTING:
        return int(torch.accelerator.get_memory_info(device)[0])
    return int(psutil.virtual_memory().available)


def gradient_bytes(module: nn.Module) -> int:
    """Bytes of all gradients."""
    return sum(one.numel() * one.element_size() for one in module.parameters() if one.requires_grad)


def optimiser_bytes(optimiser: torch.optim.Optimizer, module: nn.Module) -> int:
    """Bytes that the optimiser's first step adds; 0 after it."""
    slots = [slot for slot in SLOTS.get(type(optimiser), ()) if slot != "step"]
    return 0 if optimiser.state else len(slots) * gradient_bytes(module)
