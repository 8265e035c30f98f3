"""The loop that every training shares: batches in, steps, checkpoints and rows of metrics out.

An interrupted run goes on exactly where it was: a batch is a function of the seed, its epoch and its place.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from tag2mask.data.loading import read_batches
from tag2mask.errors import RunError
from tag2mask.files import write_json_lines
from tag2mask.training import run as layout
from tag2mask.training.batches import EpochBatches, mix
from tag2mask.training.checkpoint import STATE, Progress, save_state
from tag2mask.training.interrupt import Interrupt, ignore_interrupt
from tag2mask.training.progress import Bar, progress_bar
from tag2mask.training.settings import LoopSettings
from tag2mask.training.tensors import write_tensors

S = TypeVar("S", bound=LoopSettings)


class EpochLoop(ABC, Generic[S]):
    """One training in progress. Abstract: what a step loses, its rates, and what an epoch's row tells.

    ``title`` names it in the progress bar, ``advice`` is for a loss that is not finite. An item of ``items`` is asked
    for as (seed, index) and is a tuple of tensors, the photograph first.
    """

    title: ClassVar[str]
    advice: ClassVar[str]

    def __init__(
        self,
        accelerator: Accelerator,
        module: nn.Module,
        optimiser: torch.optim.Optimizer,
        items: TorchDataset[Any],
        count: int,
        settings: S,
        clip: float | None,
        out: Path,
        interrupt: Interrupt,
    ) -> None:
        """Get ready; ``count`` is how many ``items`` there are, ``clip`` the largest gradient norm."""
        self.accelerator = accelerator
        self.module = module
        self.items = items
        self.count = count
        self.settings = settings
        self.clip = math.inf if clip is None else clip
        self.out = out
        self.interrupt = interrupt
        self.progress = Progress()
        self.model, self.optimiser = accelerator.prepare(module, optimiser)
        batches = math.ceil(count / settings.batch_size)
        share = math.ceil(batches / accelerator.num_processes)
        self.steps = settings.epochs * math.ceil(share / settings.accumulate)
        self.saved_at = time.monotonic()

    @abstractmethod
    def terms(self, *batch: Tensor) -> dict[str, Tensor]:
        """Named loss terms of a batch, means over its photographs; their sum is minimised."""

    @abstractmethod
    def factor(self, step: int) -> float:
        """On the base rates at a step (from 0)."""

    @abstractmethod
    def finish_row(self, row: dict[str, Any]) -> None:
        """Put into an epoch's row what else is known, and save the model if it is the one to keep."""

    def describe(self, row: dict[str, Any]) -> str:
        """An epoch in one line."""
        terms = ", ".join(f"{name} {value:.4f}" for name, value in row["loss"].items())
        return f"epoch {row['epoch']}: {terms}"

    def run(self, opening: Sequence[str]) -> None:
        """Train to the end from where ``progress`` stands, after the lines ``opening``."""
        with progress_bar(self.title, self.steps, self.progress.step) as bar:
            if self.accelerator.is_main_process:
                for line in opening:
                    bar.say(line)
            while self.progress.epoch < self.settings.epochs:
                self.run_epoch(bar)

    def run_epoch(self, bar: Bar) -> None:
        """The rest of the epoch in hand, and its row of metrics."""
        progress, settings = self.progress, self.settings
        batches = EpochBatches(self.count, settings.batch_size, settings.seed, progress.epoch, progress.batch)
        loader = self.accelerator.prepare(
            DataLoader(self.items, batch_sampler=batches, num_workers=settings.workers, worker_init_fn=ignore_interrupt)
        )
        self.model.train()
        clock = time.monotonic()
        for batch in read_batches(loader):
            with self.accelerator.accumulate(self.model):
                stepped = self.step(*batch)
            progress.batch += self.accelerator.num_processes
            if stepped:
                now = time.monotonic()
                progress.seconds, clock = progress.seconds + now - clock, now
                bar.advance(1, f"epoch {progress.epoch + 1}")
                self.save_if_due(force=self.interrupt.asked)
                if self.interrupt.asked:
                    raise KeyboardInterrupt
        self.finish_epoch(bar, clock)

    def step(self, *batch: Tensor) -> bool:
        """Forward and backward for one batch; True if the optimiser moved."""
        progress, accelerator = self.progress, self.accelerator
        # Dropped paths, masked tokens and gates: a function of the seed and the place in the run, so resuming is exact.
        torch.manual_seed(mix(self.settings.seed, progress.epoch, progress.batch, accelerator.process_index, 1))
        terms = self.terms(*batch)
        total = torch.stack(list(terms.values())).sum()
        self.require_finite(total, "loss")
        accelerator.backward(total)
        images = len(batch[0])
        for name, term in terms.items():
            progress.sums[name] = progress.sums.get(name, 0.0) + term.item() * images
        progress.sums["images"] = progress.sums.get("images", 0.0) + images
        if not accelerator.sync_gradients:
            return False
        norm = accelerator.clip_grad_norm_(self.model.parameters(), self.clip)
        if accelerator.scaler is None:  # fp16's loss scaling meets infinities by itself
            self.require_finite(norm, "gradient")
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * self.factor(progress.step)
        self.optimiser.step()
        self.optimiser.zero_grad()
        progress.step += 1
        return True

    def require_finite(self, value: Tensor, what: str) -> None:
        """Stop before a step that would spoil the weights."""
        if not torch.isfinite(value):
            raise RunError(
                f"the {what} is {value.item()} at epoch {self.progress.epoch + 1}, step {self.progress.step + 1}; "
                f"nothing was changed by it: {self.advice}"
            )

    def finish_epoch(self, bar: Bar, clock: float) -> None:
        """Write the epoch's row, and make the state the next epoch's start."""
        progress = self.progress
        if self.accelerator.is_main_process and not (self.out / STATE).is_file():
            self.save_if_due(force=True)  # weights never stand in a folder that cannot be resumed
        images = progress.sums.pop("images")
        row: dict[str, Any] = {"epoch": progress.epoch + 1, "step": progress.step}
        row["loss"] = {name: value / images for name, value in progress.sums.items()}
        row["lr"] = [group["base"] * self.factor(progress.step - 1) for group in self.optimiser.param_groups]
        self.finish_row(row)
        progress.seconds += time.monotonic() - clock
        row["seconds"] = round(progress.seconds, 1)
        progress.rows.append(row)
        progress.epoch, progress.batch, progress.sums, progress.counts = progress.epoch + 1, 0, {}, {}
        if self.accelerator.is_main_process:
            write_json_lines(self.out / layout.METRICS, progress.rows)
            bar.say(f"{self.describe(row)}; {row['seconds']:.0f} s")
        self.save_if_due(force=True)

    def save_model(self, path: Path) -> None:
        """The weights as they are."""
        if self.accelerator.is_main_process:
            path.parent.mkdir(exist_ok=True)
            write_tensors(path, self.module.state_dict(), {"epoch": str(self.progress.epoch + 1)})

    def save_if_due(self, force: bool) -> None:
        """Save the state now and then, and when asked."""
        due = time.monotonic() - self.saved_at > 60 * self.settings.save_minutes
        if self.accelerator.is_main_process and (force or due):
            save_state(self.out, self.module, self.optimiser.optimizer, self.progress)
            self.saved_at = time.monotonic()
