"""A teacher: a part of a method whose weights are a moving average over the training steps."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Teacher(nn.Module):
    """A copy of ``student`` that follows it: t <- m t + (1 - m) s after every optimiser step, m = ``momentum``.

    It runs in evaluation mode, without gradients. The state for resuming always includes it; the final weights include
    it only if ``saved`` is true, for methods that need it after training. Tarvainen and Valpola, "Mean teachers are
    better role models", 2017.
    """

    def __init__(self, student: nn.Module, momentum: float, saved: bool = False) -> None:
        """Copy ``student``, which is a part of the method that owns the teacher."""
        super().__init__()
        self.momentum = momentum
        self.saved = saved
        self.students = (student,)  # in a tuple, so that it is not registered as a submodule of the teacher
        self.start()

    def start(self) -> None:
        """Copy the student as it is now."""
        self.module = copy.deepcopy(self.students[0]).requires_grad_(False)

    @torch.no_grad()
    def forward(self, *inputs: Any) -> Any:
        """Output of the copy."""
        return self.module.eval()(*inputs)

    @torch.no_grad()
    def follow(self) -> None:
        """Move one step towards the student; copy its buffers."""
        for mine, theirs in zip(self.module.parameters(), self.students[0].parameters(), strict=True):
            mine.lerp_(theirs, 1 - self.momentum)
        for own, its in zip(self.module.buffers(), self.students[0].buffers(), strict=True):
            own.copy_(its)
