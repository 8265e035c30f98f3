"""Ctrl-C at a step of a training."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from tag2mask.training import loop


@contextmanager
def interrupted_after(stop: int) -> Iterator[None]:
    """Trainings in this process get SIGINT after step ``stop``."""
    step = loop.Trainer.step

    def interrupted(self: loop.Trainer, *batch: torch.Tensor) -> bool:
        moved = step(self, *batch)
        if self.state.step == stop:
            os.kill(os.getpid(), signal.SIGINT)
        return moved

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, "step", interrupted)
        yield
