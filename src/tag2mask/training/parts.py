"""The gradients of a batch, added up in parts (micro-batches), and with smaller parts whenever memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import OutOfMemoryError, nn

from tag2mask.errors import RunError
from tag2mask.shown import counted
from tag2mask.training.checkpoint import LoopState
from tag2mask.training.together import alone


@dataclass(frozen=True)
class Part:
    """Some images of a batch: the batch's fields for these images alone, and their fraction of its images."""

    number: int
    fields: tuple[Any, ...]
    share: float


def split(batch: Sequence[Any], micro_batch: int | None) -> list[Part]:
    """Cut a batch, whose fields have one entry per image, into parts of ``micro_batch`` images; None is one part."""
    images = len(batch[0])
    size = micro_batch or images
    return [
        Part(
            number,
            tuple(field[first : first + size] for field in batch),
            (min(first + size, images) - first) / images,
        )
        for number, first in enumerate(range(0, images, size))
    ]


def add_in_parts(
    add: Callable[[list[Part]], None],
    batch: Sequence[Any],
    state: LoopState,
    parameters: Sequence[nn.Parameter],
    fewest: int,
) -> None:
    """Call ``add``, which adds the gradients of a batch's parts to those of earlier batches.

    If memory runs out, halve ``state.micro_batch`` and call it again, as if the first call had not been.

    Raises:
        RunError: memory ran out with ``fewest`` images, or in one of several processes.
    """
    earlier = [one.grad for one in parameters] if alone() else []
    while True:
        for one in parameters if alone() else ():
            one.grad = None
        try:
            add(split(batch, state.micro_batch))
            break
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        # Not inside of except: the error keeps the tensors of the failed call.
        clear_device_cache(garbage_collection=True)
        state.micro_batch = halved(min(state.micro_batch or len(batch[0]), len(batch[0])), fewest)
    for one, before in zip(parameters, earlier, strict=False):
        if before is not None:
            one.grad = before if one.grad is None else one.grad.add_(before)


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on any device."""
    return isinstance(error, OutOfMemoryError | MemoryError) or bool(should_reduce_batch_size(error))


def halved(images: int, fewest: int) -> int:
    """Half as many images.

    Raises:
        RunError: these would be fewer than ``fewest``, or another process would not know of it.
    """
    if images < 2 * fewest or not alone():
        mend = "use smaller images or a smaller backbone" if alone() else "continue with --resume and a smaller memory"
        raise RunError(f"out of memory with {counted(images, 'image')} at once: {mend}, or stop other programs")
    return images // 2
