"""The training loop shared by all trainings: batches, steps, checkpoints and rows of metrics.

An interrupted run resumes exactly where it stopped: a batch is a function of the seed, its epoch and its place.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from itertools import cycle, islice
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader, default_collate
from torch.utils.data import Dataset as TorchDataset

from tag2mask.data.loading import read_batches
from tag2mask.errors import RunError
from tag2mask.files import write_json_lines
from tag2mask.progress import Bar, progress_bar
from tag2mask.shown import counted
from tag2mask.tensors import write_tensors
from tag2mask.training import run as layout
from tag2mask.training.batches import EpochBatches, mix
from tag2mask.training.checkpoint import STATE, LoopState, load_state, save_state
from tag2mask.training.interrupt import Interrupt, ignore_interrupt
from tag2mask.training.memory import Fit, fit_step
from tag2mask.training.parts import Part, add_in_parts, split
from tag2mask.training.settings import LoopSettings
from tag2mask.training.together import add_up, alone
from tag2mask.vit.vit import recompute_blocks

S = TypeVar("S", bound=LoopSettings)


class EpochLoop(ABC, Generic[S]):
    """A training in progress. Subclasses define the loss, the learning rates, and the other metrics of an epoch.

    ``title`` names it in the progress bar; ``advice`` is shown if the loss is not finite. ``items`` is indexed by
    (seed, index); ``collate`` turns items into a batch, by default as torch does.
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
        collate: Callable[[list[Any]], Any] | None = None,
        patience: int = 0,
    ) -> None:
        """Prepare the training; ``count`` is the number of ``items``, ``clip`` the largest gradient norm.

        Training ends after ``patience`` epochs without a new best one; 0 trains all epochs.
        """
        self.accelerator = accelerator
        self.module = module
        self.items = items
        self.count = count
        self.settings = settings
        self.clip = math.inf if clip is None else clip
        self.out = out
        self.interrupt = interrupt
        self.collate = collate
        self.patience = patience
        self.state = LoopState(processes=accelerator.num_processes)
        self.model, self.optimiser = accelerator.prepare(module, optimiser)
        self.batches = self.epoch_batches()
        self.epoch_steps = math.ceil(len(self.batches) / settings.accumulate)
        self.saved_at = time.monotonic()
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}
        self.lost = torch.zeros((), device=accelerator.device)
        # Sums over many pixels need float64, which MPS does not have.
        self.wide = torch.float32 if accelerator.device.type == "mps" else torch.float64
        self.asked = False
        self.fewest = 1  # images in a part

    @property
    def epochs(self) -> int:
        """Number of epochs, as far as it is known now."""
        return self.settings.epochs

    @property
    def steps(self) -> int:
        """Number of steps, as far as it is known now."""
        return self.epochs * self.epoch_steps

    @abstractmethod
    def terms(self, part: Part) -> dict[str, Tensor]:
        """Named loss terms of a part of a batch; the sum of all terms of all parts, times ``weight``, is minimised."""

    @abstractmethod
    def weight(self, part: Part) -> float:
        """Factor on a part's terms, so that their sums over all parts and processes are means over the whole batch."""

    def survey(self, parts: Sequence[Part]) -> None:
        """Find out what the terms of one part depend on in the others; most losses depend on nothing."""

    @abstractmethod
    def factor(self, step: int) -> float:
        """Factor on the base learning rates at a step (from 0)."""

    @abstractmethod
    def finish_row(self, row: dict[str, Any]) -> None:
        """Add the other metrics to an epoch's row, and save the model if it is to be kept."""

    @abstractmethod
    def remarks(self, row: dict[str, Any]) -> list[str]:
        """What to print about an epoch in addition to its loss and time."""

    def describe(self, row: dict[str, Any]) -> str:
        """Describe an epoch in one line."""
        terms = ", ".join(f"{name} {value:.4f}" for name, value in row["loss"].items())
        return "; ".join([f"epoch {row['epoch']}: {terms}", *self.remarks(row), f"{row['seconds']:.0f} s"])

    def run(self, opening: Sequence[str]) -> None:
        """Print the lines ``opening``, then train from ``state`` to the end."""
        main = self.accelerator.is_main_process
        with progress_bar(self.title, self.steps, self.state.step, shown=main) as bar:
            for line in (*opening, *self.fit_memory()) if main else self.fit_memory():
                bar.say(line)
            while not self.finished():
                self.run_epoch(bar)
                bar.expect(self.steps)

    def finished(self) -> bool:
        """Whether all epochs are done, or further ones would not help."""
        return self.state.epoch >= self.epochs or self.stands_still()

    def resumed(self) -> str:
        """Say where a resumed training continues."""
        done = counted(self.state.epoch, "epoch")
        return f"already finished after {done}" if self.finished() else f"resumed at step {self.state.step}"

    def stands_still(self) -> bool:
        """Whether the best epoch is too long ago."""
        best = self.state.best_epoch
        return self.patience > 0 and best is not None and self.state.epoch - best >= self.patience

    def resume(self) -> None:
        """Load the state in ``out``.

        Raises:
            RunError: there is none, it is damaged, or it belongs to another model or another number of processes.
        """
        self.state = load_state(self.out, self.module, self.optimiser.optimizer)
        if self.accelerator.scaler is not None and self.state.scaler:
            self.accelerator.scaler.load_state_dict(self.state.scaler)
        before, now = self.state.processes, self.accelerator.num_processes
        if before != now:
            raise RunError(f"{self.out} was trained with {before} processes, not {now}; resume with {before}")

    def epoch_batches(self) -> EpochBatches:
        """This process's part of the current epoch."""
        state, settings, accelerator = self.state, self.settings, self.accelerator
        processes, process = accelerator.num_processes, accelerator.process_index
        return EpochBatches(
            self.count, settings.batch_size, settings.seed, state.epoch, state.batch, processes, process
        )

    def run_epoch(self, bar: Bar) -> None:
        """Finish the current epoch and write its row of metrics."""
        state = self.state
        self.batches = self.epoch_batches()
        loader = self.reader(self.batches)
        self.model.train()
        clock = time.monotonic()
        for batch in read_batches(loader):
            size = state.micro_batch
            with self.accelerator.accumulate(self.model):
                stepped = self.step(*batch)
            if state.micro_batch != size:
                bar.say(f"out of memory: from here on {state.micro_batch} of {len(batch[0])} images at once")
            state.batch += 1
            if stepped:
                now = time.monotonic()
                state.seconds, clock = state.seconds + now - clock, now
                bar.advance(1, f"epoch {state.epoch + 1}")
                self.stop_if_asked()
        self.finish_epoch(bar, clock)

    def reader(self, batches: Iterable[Any]) -> Iterable[Any]:
        """Read these batches of keys onto the device; pinned memory lets a GPU fetch one during a step."""
        device = self.accelerator.device
        reader = DataLoader(
            self.items,
            batch_sampler=batches,
            num_workers=self.settings.workers,
            worker_init_fn=ignore_interrupt,
            collate_fn=self.collate,
            pin_memory=device.type == "cuda",
        )
        # These batches already belong to this process: accelerate must not split them again.
        return prepare_data_loader(reader, device, 1, 0, put_on_device=True, non_blocking=True)  # type: ignore[no-any-return]

    def stop_if_asked(self) -> None:
        """Save the state if it is due; if Ctrl-C was pressed, save it and stop."""
        asked = self.interrupt.asked if alone() else self.asked
        self.save_if_due(force=asked)
        if asked:
            self.accelerator.wait_for_everyone()  # when one process ends, the launcher ends the others, saved or not
            raise KeyboardInterrupt

    def step(self, *batch: Any) -> bool:
        """Run forward and backward for one batch; return True if the optimiser took a step."""
        state, accelerator = self.state, self.accelerator
        before = self.lost, self.sums, self.counts

        def add(parts: Sequence[Part]) -> None:
            self.lost, self.sums, self.counts = before[0], dict(before[1]), dict(before[2])
            self.add_gradients(parts)

        add_in_parts(add, batch, state, list(self.module.parameters()), self.fewest)
        _, images = self.batches.sizes(state.batch)
        state.sums["images"] = state.sums.get("images", 0.0) + images
        if not accelerator.sync_gradients:
            return False
        norm = accelerator.clip_grad_norm_(self.model.parameters(), self.clip)
        self.agree(norm)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * self.factor(state.step)
        self.optimiser.step()
        self.optimiser.zero_grad()
        state.step += 1
        return True

    def add_gradients(self, parts: Sequence[Part]) -> None:
        """Add the gradients and the loss terms of all parts of the current batch."""
        self.survey(parts)
        _, images = self.batches.sizes(self.state.batch)
        for part in parts:
            together = part.number == len(parts) - 1  # processes exchange gradients once
            with nullcontext() if together else self.accelerator.no_sync(self.model):
                self.seed(part)
                terms, weight = self.terms(part), self.weight(part)
                # Gradients are averaged over processes, but the loss is the sum of their weighted parts.
                total = torch.stack(list(terms.values())).sum() * (weight * self.accelerator.num_processes)
                self.accelerator.backward(total)
            for name, term in terms.items():
                add_to(self.sums, name, term.detach().to(self.wide) * (weight * images))
            self.lost = self.lost + total.detach()

    def seed(self, part: Part) -> None:
        """Make dropped paths, masked tokens and gates depend on the place in the run alone, so resuming is exact."""
        state, number = self.state, (part.number,) if part.number else ()
        process = self.accelerator.process_index
        torch.manual_seed(mix(self.settings.seed, state.epoch, state.batch, process, 1, *number))

    def fit_memory(self) -> list[str]:
        """Choose the micro-batch for the setting ``memory``, unless the state holds the choice; say what was chosen.

        Raises:
            SettingsError: not one image fits.
        """
        state, settings = self.state, self.settings
        if settings.memory != state.memory:
            state.memory, state.micro_batch, state.recompute = settings.memory, None, False
            if settings.memory is not None:
                self.model.train()
                given = (self.module, self.optimiser.optimizer, settings, self.accelerator.device, self.fewest)
                fit = fit_step(self.try_images, *given)
                self.sums, self.counts, self.lost = {}, {}, torch.zeros_like(self.lost)
                state.micro_batch, state.recompute = fit.micro_batch, fit.recompute
        recompute_blocks(self.module, state.recompute)
        if settings.memory is None or state.micro_batch is None:
            return []
        return [Fit(state.micro_batch, state.recompute).describe(settings.memory, settings.batch_size)]

    def try_images(self, count: int) -> None:
        """Add the gradients of a batch of this many images."""
        drawn = islice(cycle(next(iter(self.epoch_batches()))), count)
        batch = (self.collate or default_collate)([self.items[key] for key in drawn])
        self.add_gradients(split(send_to_device(batch, self.accelerator.device), None))

    def agree(self, norm: Tensor) -> None:
        """Sum the losses and counts of a step over all processes, and find out whether one was asked to stop.

        The host waits for the device here, once per step.

        Raises:
            RunError: the loss or the gradient is not finite, so the step would spoil the weights.
        """
        sums, counts = list(self.sums), list(self.counts)
        values = [self.lost, *self.sums.values(), *self.counts.values()]
        asked = torch.full_like(self.lost, float(self.interrupt.asked))
        added = add_up(torch.stack([value.to(self.wide) for value in (*values, asked)]))
        loss, *found, asked_by, length = torch.cat([added, norm.detach().to(added).reshape(1)]).tolist()
        self.require_finite(loss, "loss")
        if self.accelerator.scaler is None:  # fp16's loss scaling handles infinities itself
            self.require_finite(length, "gradient")
        state = self.state
        for name, value in zip(sums, found[: len(sums)], strict=True):
            state.sums[name] = state.sums.get(name, 0.0) + value
        for name, value in zip(counts, found[len(sums) :], strict=True):
            state.counts[name] = state.counts.get(name, 0) + round(value)
        self.asked = asked_by > 0
        self.sums, self.counts, self.lost = {}, {}, torch.zeros_like(self.lost)

    def require_finite(self, value: float, what: str) -> None:
        """Raise before a step that would spoil the weights."""
        if not math.isfinite(value):
            raise RunError(
                f"the {what} is {value} at epoch {self.state.epoch + 1}, step {self.state.step + 1}; "
                f"the weights were not changed by it: {self.advice}"
            )

    def finish_epoch(self, bar: Bar, clock: float) -> None:
        """Write the epoch's row of metrics, and advance the state to the next epoch."""
        state = self.state
        if self.accelerator.is_main_process and not (self.out / STATE).is_file():
            self.save_if_due(force=True)  # a folder with weights can always be resumed
        images = state.sums.pop("images")
        row: dict[str, Any] = {"epoch": state.epoch + 1, "step": state.step}
        row["loss"] = {name: value / images for name, value in state.sums.items()}
        row["lr"] = [group["base"] * self.factor(state.step - 1) for group in self.optimiser.param_groups]
        self.finish_row(row)
        state.seconds += time.monotonic() - clock
        row["seconds"] = round(state.seconds, 1)
        state.rows.append(row)
        state.epoch, state.batch, state.sums, state.counts = state.epoch + 1, 0, {}, {}
        if self.accelerator.is_main_process:
            write_json_lines(self.out / layout.METRICS, state.rows)
            bar.say(self.describe(row))
        self.save_if_due(force=True)

    def save_model(self, path: Path, weights: dict[str, Tensor]) -> None:
        """Write these weights to ``path``."""
        if self.accelerator.is_main_process:
            path.parent.mkdir(exist_ok=True)
            write_tensors(path, weights, {"epoch": str(self.state.epoch + 1)})

    def save_if_due(self, force: bool) -> None:
        """Save the state if enough time has passed or ``force`` is true."""
        due = time.monotonic() - self.saved_at > 60 * self.settings.save_minutes
        if self.accelerator.is_main_process and (force or due):
            if self.accelerator.scaler is not None:
                self.state.scaler = self.accelerator.scaler.state_dict()
            save_state(self.out, self.module, self.optimiser.optimizer, self.state)
            self.saved_at = time.monotonic()


def add_to(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    """Add to a sum on the device: reading the value would make the host wait."""
    sums[name] = sums[name] + value if name in sums else value
