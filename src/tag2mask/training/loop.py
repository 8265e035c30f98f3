"""The training loop: tags in, a run folder out. It knows no method and opens no truth.

Shapes: B batch, C classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.utils.data import DataLoader

from tag2mask.data import Dataset, Sample, open_dataset
from tag2mask.data.loading import TaggedImages, multi_hot
from tag2mask.data.reading import read_image, to_float
from tag2mask.data.transforms import eval_resize, train_transform
from tag2mask.errors import RunError
from tag2mask.methods import Method, build_method, method_settings
from tag2mask.training import run as layout
from tag2mask.training.batches import EpochBatches, mix
from tag2mask.training.checkpoint import Progress, load_state, save_state
from tag2mask.training.files import write_json_lines, write_tensors
from tag2mask.training.interrupt import Interrupt, deferred_interrupt, ignore_interrupt
from tag2mask.training.progress import Bar, progress_bar
from tag2mask.training.schedule import factor, parameter_groups
from tag2mask.training.scores import tag_scores
from tag2mask.training.settings import TrainSettings
from tag2mask.training.start import (
    mixed_precision,
    open_validation,
    require_folder,
    require_same_bands,
    write_run_header,
)
from tag2mask.vit.weights import Weights, WeightsReport, normalisation


@dataclass(frozen=True)
class TrainResult:
    """What a finished training came to."""

    run: Path
    epochs: int
    best_epoch: int
    best_ap: float | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "run": str(self.run)}


def train(data: Path, out: Path, settings: TrainSettings, resume: bool = False) -> TrainResult:
    """Learn from the tags of ``data`` and leave a run in ``out``.

    Raises:
        DataError, SettingsError, WeightsError: what is wrong with the input.
        RunError: ``out`` is not empty, or cannot be resumed with these settings.
        KeyboardInterrupt: after the step in hand was saved.
    """
    # Written out in full, so that a run outlives a change of defaults.
    chosen = method_settings(settings.method, settings.method_settings).model_dump(mode="json")
    settings = settings.model_copy(update={"method_settings": chosen})
    photographs = open_dataset(data, settings.data, settings.split)
    validation = open_validation(data, settings)
    require_same_bands(settings)
    require_folder(out, settings, resume)
    # Resumed weights come from the state file: the pretrained ones need not be there any more.
    weights: Weights = "none" if resume else settings.weights_source()
    accelerator, method, report = prepare(settings, len(photographs.classes), weights)
    with deferred_interrupt() as interrupt:
        trainer = Trainer(accelerator, method, photographs, validation, settings, out, interrupt)
        if resume:
            trainer.progress = load_state(out, method, trainer.optimiser.optimizer)
        elif accelerator.is_main_process:
            write_run_header(out, data, photographs, settings, report)
        return trainer.run(f"resumed at step {trainer.progress.step}" if resume else report.summary())


def prepare(settings: TrainSettings, classes: int, weights: Weights) -> tuple[Accelerator, Method, WeightsReport]:
    """The devices, and the method for ``classes`` tags with the settings' seed."""
    torch.manual_seed(settings.seed)
    method, report = build_method(settings.method, classes, settings.backbone, settings.method_settings, weights)
    # A run before in this process may have had another precision.
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(
        mixed_precision=mixed_precision(settings.precision), gradient_accumulation_steps=settings.accumulate
    )
    return accelerator, method, report


class Trainer:
    """One run in progress."""

    def __init__(
        self,
        accelerator: Accelerator,
        method: Method,
        photographs: Dataset,
        validation: Sequence[Sample],
        settings: TrainSettings,
        out: Path,
        interrupt: Interrupt,
    ) -> None:
        self.accelerator = accelerator
        self.method = method
        self.validation = validation
        self.settings = settings
        self.out = out
        self.interrupt = interrupt
        self.progress = Progress()
        self.mean, self.std = normalisation(settings.backbone)
        transform = train_transform(settings.backbone.image_size, self.mean, self.std, settings.augment)
        self.images = TaggedImages(photographs, settings.data.bands, transform)
        optimiser = torch.optim.AdamW(parameter_groups(method, settings.optimiser))
        self.model, self.optimiser = accelerator.prepare(method, optimiser)
        batches = math.ceil(len(self.images) / settings.batch_size)
        share = math.ceil(batches / accelerator.num_processes)
        self.steps = settings.epochs * math.ceil(share / settings.accumulate)
        self.saved_at = time.monotonic()

    def run(self, opening: str) -> TrainResult:
        """Train to the end from where ``progress`` stands; ``opening`` is the first line to say."""
        with progress_bar("train", self.steps, self.progress.step) as bar:
            if self.accelerator.is_main_process:
                bar.say(opening)
                if not self.validation:
                    bar.say("no tagged validation photographs: the last weights are kept, not the best")
            while self.progress.epoch < self.settings.epochs:
                self.run_epoch(bar)
        best = self.progress.best_epoch
        return TrainResult(
            self.out,
            self.settings.epochs,
            self.settings.epochs if best is None else best,
            self.progress.best_ap,
            round(self.progress.seconds, 1),
        )

    def run_epoch(self, bar: Bar) -> None:
        """The rest of the epoch in hand, its validation and its row of metrics."""
        progress = self.progress
        batches = EpochBatches(
            len(self.images), self.settings.batch_size, self.settings.seed, progress.epoch, progress.batch
        )
        loader = self.accelerator.prepare(
            DataLoader(
                self.images,
                batch_sampler=batches,
                num_workers=self.settings.workers,
                worker_init_fn=ignore_interrupt,
            )
        )
        self.model.train()
        clock = time.monotonic()
        for images, tags in loader:
            with self.accelerator.accumulate(self.model):
                stepped = self.step(images, tags)
            progress.batch += self.accelerator.num_processes
            if stepped:
                now = time.monotonic()
                progress.seconds, clock = progress.seconds + now - clock, now
                bar.advance(1, f"epoch {progress.epoch + 1}")
                self.save_if_due(force=self.interrupt.asked)
                if self.interrupt.asked:
                    raise KeyboardInterrupt
        self.finish_epoch(bar, clock)

    def step(self, images: Tensor, tags: Tensor) -> bool:
        """Forward and backward for one batch; True if the optimiser moved."""
        progress, accelerator = self.progress, self.accelerator
        # Dropped paths, masked tokens and gates: a function of the seed and the place in the run, so resuming is exact.
        torch.manual_seed(mix(self.settings.seed, progress.epoch, progress.batch, accelerator.process_index, 1))
        evidence = self.model(images, tags)
        terms = self.method.loss(evidence, tags)
        total = torch.stack(list(terms.values())).sum()
        self.require_finite(total, "loss")
        accelerator.backward(total)
        for name, term in terms.items():
            progress.sums[name] = progress.sums.get(name, 0.0) + term.item() * len(images)
        progress.sums["images"] = progress.sums.get("images", 0.0) + len(images)
        if not accelerator.sync_gradients:
            return False
        clip = self.settings.optimiser.clip
        norm = accelerator.clip_grad_norm_(self.model.parameters(), math.inf if clip is None else clip)
        if accelerator.scaler is None:  # fp16's loss scaling meets infinities by itself
            self.require_finite(norm, "gradient")
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * self.factor(progress.step)
        self.optimiser.step()
        self.optimiser.zero_grad()
        progress.step += 1
        return True

    def factor(self, step: int) -> float:
        """On the base rates at a step."""
        return factor(step, self.steps, self.settings.epochs, self.settings.optimiser)

    def require_finite(self, value: Tensor, what: str) -> None:
        """Stop before a step that would spoil the weights."""
        if not torch.isfinite(value):
            raise RunError(
                f"the {what} is {value.item()} at epoch {self.progress.epoch + 1}, step {self.progress.step + 1}; "
                "nothing was changed by it: lower optimiser.lr_tokens or lr_backbone, or use --precision fp32"
            )

    def finish_epoch(self, bar: Bar, clock: float) -> None:
        """Validate, keep the best weights, write the row, and make the state the next epoch's start."""
        progress = self.progress
        images = progress.sums.pop("images")
        row: dict[str, Any] = {"epoch": progress.epoch + 1, "step": progress.step}
        row["loss"] = {name: value / images for name, value in progress.sums.items()}
        row["lr"] = [group["base"] * self.factor(progress.step - 1) for group in self.optimiser.param_groups]
        row["open_heads"] = self.method.open_heads()
        if self.accelerator.is_main_process:
            row |= self.validate()
        better = progress.best_ap is None or row.get("val_ap", 0.0) > progress.best_ap
        if not self.validation or better:
            progress.best_epoch = progress.epoch + 1
            progress.best_ap = row.get("val_ap")
            self.save_model(self.out / layout.MODEL)
        if self.settings.keep_epochs:
            self.save_model(self.out / layout.epoch_model(progress.epoch + 1))
        progress.seconds += time.monotonic() - clock
        row["seconds"] = round(progress.seconds, 1)
        progress.rows.append(row)
        progress.epoch, progress.batch, progress.sums = progress.epoch + 1, 0, {}
        if self.accelerator.is_main_process:
            write_json_lines(self.out / layout.METRICS, progress.rows)
            bar.say(describe(row))
        self.save_if_due(force=True)

    @torch.no_grad()
    def validate(self) -> dict[str, Any]:
        """AP and F1 over the validation photographs, by tags alone; each keeps its proportions."""
        if not self.validation:
            return {}
        self.method.eval()
        classes = self.images.classes
        scores, tags = [], []
        for sample in self.validation:
            image = to_float(read_image(sample.image, self.settings.data.bands))
            side = self.settings.backbone.image_size
            pixels, _ = eval_resize(image, side, self.method.patch, self.mean, self.std)
            with self.accelerator.autocast():
                evidence = self.method(pixels[None].to(self.accelerator.device))
            scores.append(evidence.scores_BC[0].float().cpu().numpy())
            tags.append(multi_hot(sample.tags or (), classes).numpy())
        found = tag_scores(np.stack(scores), np.stack(tags))
        return {"val_ap": found.mean_ap, "val_f1": found.f1, "val_ap_per_class": list(found.ap_per_class)}

    def save_model(self, path: Path) -> None:
        """The weights as they are."""
        if self.accelerator.is_main_process:
            path.parent.mkdir(exist_ok=True)
            write_tensors(path, self.method.state_dict(), {"epoch": str(self.progress.epoch + 1)})

    def save_if_due(self, force: bool) -> None:
        """Save the state now and then, and when asked."""
        due = time.monotonic() - self.saved_at > 60 * self.settings.save_minutes
        if self.accelerator.is_main_process and (force or due):
            save_state(self.out, self.method, self.optimiser.optimizer, self.progress)
            self.saved_at = time.monotonic()


def describe(row: dict[str, Any]) -> str:
    """An epoch in one line."""
    terms = ", ".join(f"{name} {value:.4f}" for name, value in row["loss"].items())
    line = f"epoch {row['epoch']}: {terms}"
    if "val_ap" in row:
        line += f"; val AP {row['val_ap']:.3f}, F1 {row['val_f1']:.3f}"
    if row["open_heads"] is not None:
        line += f"; open heads {sum(row['open_heads'])}"
    return f"{line}; {row['seconds']:.0f} s"
