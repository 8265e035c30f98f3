"""A teacher: a part of a method as it was lately, the mean of its weights over the steps of a training."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Teacher(nn.Module):
    """A copy of ``student`` that follows it: t <- m t + (1 - m) s after every optimiser step, m = ``momentum``.

    It looks without gradients and in evaluation mode. A state to resume holds it; the weights of a finished run do only
    if it is ``saved``, for a method that needs it after training. Tarvainen and Valpola, "Mean teachers are better role
    models", 2017.
    """

    def __init__(self, student: nn.Module, momentum: float, saved: bool = False) -> None:
        """Copy ``student``, a part of the method that holds the teacher."""
        super().__init__()
        self.momentum = momentum
        self.saved = saved
        self.students = (student,)  # in a tuple: it is the method's own, not one of the teacher's modules
        self.start()

    def start(self) -> None:
        """Be the student as it is now."""
        self.module = copy.deepcopy(self.students[0]).requires_grad_(False)

    @torch.no_grad()
    def forward(self, *inputs: Any) -> Any:
        """What the copy says."""
        return self.module.eval()(*inputs)

    @torch.no_grad()
    def follow(self) -> None:
        """One step behind the student; buffers become its own."""
        for mine, theirs in zip(self.module.parameters(), self.students[0].parameters(), strict=True):
            mine.lerp_(theirs, 1 - self.momentum)
        for own, its in zip(self.module.buffers(), self.students[0].buffers(), strict=True):
            own.copy_(its)
