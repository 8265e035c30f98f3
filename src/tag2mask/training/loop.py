"""Learning from tags: from a data set to a run folder. This module is independent of the method and opens no truth.

Shapes: B batch, C classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from tag2mask.data import Classes, Dataset, Sample, open_dataset
from tag2mask.data.folder import images_folder, require_outside
from tag2mask.data.loading import TaggedImages, require_files
from tag2mask.data.transforms import OtherViews, train_transform
from tag2mask.files import stopped_early
from tag2mask.methods import Method, Progress, build_method
from tag2mask.methods.teacher import Teacher
from tag2mask.shown import Shown, counted
from tag2mask.training import run as layout
from tag2mask.training.epochs import EpochLoop
from tag2mask.training.interrupt import Interrupt, deferred_interrupt
from tag2mask.training.parts import Part
from tag2mask.training.schedule import factor, optimiser_groups
from tag2mask.training.settings import FIRST_PART, HARD_AP, TrainSettings, with_epochs
from tag2mask.training.start import (
    complete,
    open_accelerator,
    open_validation,
    own_folder,
    require_folder,
    require_same_images,
    with_method_settings,
    write_run_header,
)
from tag2mask.training.together import together
from tag2mask.training.validation import WholeImages, score_tags
from tag2mask.training.warm_start import decide_warm_start, start_warm
from tag2mask.vit.weights import Weights, WeightsReport, normalisation, weights_source


@dataclass(frozen=True)
class TrainResult:
    """The result of a finished training."""

    run: Path
    epochs: int
    best_epoch: int
    best_ap: float | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the output for ``--json``."""
        return {**asdict(self), "run": str(self.run)}

    def shown(self) -> Shown:
        """Return the output for people."""
        kept = "the last is kept (no validation images)"
        if self.best_ap is not None:
            kept = f"best {self.best_epoch} (val AP {self.best_ap:.3f})"
        return [f"{self.run}: {counted(self.epochs, 'epoch')}, {kept}"]


def train(data: Path, out: Path, settings: TrainSettings, resume: bool = False) -> TrainResult:
    """Learn from the tags of ``data`` and write a run to ``out``.

    Raises:
        DataError, SettingsError, WeightsError: the input is wrong.
        RunError: ``out`` is not empty, or cannot be resumed with these settings.
        KeyboardInterrupt: after the current step was saved.
    """
    settings = complete(settings, data)
    images = open_dataset(data, settings.data, settings.split)
    material = Material(images, open_validation(data, settings), data)
    require_outside(out, images_folder(data))
    return train_on(material, out, settings, resume)


def train_in_memory(
    images: Dataset, validation: Sequence[Sample], out: Path, settings: TrainSettings, resume: bool = False
) -> TrainResult:
    """``train`` with images that are not in a data folder; their pixels were read with ``settings.data``.

    Raises:
        DataError, SettingsError, WeightsError, RunError, KeyboardInterrupt: as for ``train``.
    """
    return train_on(Material(images, validation, None), out, complete(settings, None), resume)


@dataclass(frozen=True)
class Material:
    """Training images, validation images, and the data folder that holds both; None for images in memory."""

    images: Dataset
    validation: Sequence[Sample]
    root: Path | None

    def described(self) -> dict[str, Any]:
        """Return the entries for ``config.yaml``, with a hash of the names and tags of training images."""
        listed = json.dumps([[sample.name, sorted(sample.tags or ())] for sample in self.tagged])
        return {
            "data": None if self.root is None else str(self.root.resolve()),
            "photographs": len(self.tagged),
            "images_sha256": hashlib.sha256(listed.encode()).hexdigest(),
        }

    @cached_property
    def tagged(self) -> list[Sample]:
        """Return the training images with tags, from which the network learns."""
        return [sample for sample in self.images if sample.tags is not None]


def train_on(material: Material, out: Path, settings: TrainSettings, resume: bool) -> TrainResult:
    """Train on the material, or resume."""
    resume = resume and not stopped_early(out)
    settings = with_method_settings(with_epochs(settings, len(material.tagged)))
    # Resumed weights come from the state file, so the pretrained ones are no longer needed.
    weights: Weights = "none" if resume else weights_source(settings.weights)
    accelerator, method, settings, report = prepare_method(settings, material.images.classes, weights)
    if accelerator.is_main_process:  # other processes may get here after it has started to write
        require_folder(out, settings, resume)
        if resume:
            require_same_images(out, material.described())
    with deferred_interrupt() as interrupt, together(), own_folder(out, resume):
        if settings.warm_start and not resume:
            warm_up(accelerator, method, material, settings, interrupt)
        trainer = Trainer(accelerator, method, material, settings, out, interrupt)
        if resume:
            trainer.resume()
        elif accelerator.is_main_process:
            write_run_header(out, material.images.classes, settings, report, material.described())
        return trainer.train(trainer.resumed() if resume else report.summary())


def warm_up(
    accelerator: Accelerator,
    method: Method,
    material: Material,
    settings: TrainSettings,
    interrupt: Interrupt,
) -> None:
    """Fit the head on whole images, with the size and normalisation of the training."""
    mean, std = normalisation(settings.backbone, settings.data)
    images = TaggedImages(material.root, material.images, settings.data, lambda image: image)
    start_warm(accelerator, method, images, settings.backbone.image_size, (mean, std), interrupt)


def prepare_method(
    settings: TrainSettings, classes: Classes, weights: Weights
) -> tuple[Accelerator, Method, TrainSettings, WeightsReport]:
    """Open the devices, build the method for ``classes`` with the settings' seed, and complete the settings."""
    torch.manual_seed(settings.seed)
    method, report = build_method(settings.method, classes, settings.backbone, settings.method_settings, weights)
    return open_accelerator(settings, method.all_learn), method, decide_warm_start(settings, method), report


class Trainer(EpochLoop[TrainSettings]):
    """A run in progress."""

    title = "train"
    advice = "lower optimiser.lr_tokens or lr_backbone, or use --precision fp32"

    def __init__(
        self,
        accelerator: Accelerator,
        method: Method,
        material: Material,
        settings: TrainSettings,
        out: Path,
        interrupt: Interrupt,
    ) -> None:
        self.method = method
        self.validation = material.validation
        require_files(self.validation)
        self.mean, self.std = normalisation(settings.backbone, settings.data)
        transform = train_transform(settings.backbone.image_size, self.mean, self.std, settings.augment)
        views = OtherViews(method.crops, self.mean, self.std, settings.augment)
        self.images = TaggedImages(material.root, material.images, settings.data, transform, views)
        fresh_patches = settings.backbone.patch_weights == "fresh"
        groups = optimiser_groups(method.parameter_groups(), settings.optimiser, fresh_patches)
        optimiser = torch.optim.AdamW(groups, fused=True)  # on a CPU, a third of the time
        if method.teacher is not None:
            follow_after(optimiser, method.teacher)
        clip = settings.optimiser.clip
        super().__init__(
            accelerator,
            method,
            optimiser,
            self.images,
            len(self.images),
            settings,
            clip,
            out,
            interrupt,
            patience=settings.patience,
        )

    def train(self, opening: str) -> TrainResult:
        """Print the line ``opening``, then train from ``state`` to the end."""
        untagged = ["no tagged validation images: the last weights are kept, not the best"]
        self.run([opening] if self.validation else [opening, *untagged])
        best, epochs = self.state.best_epoch, self.state.epoch
        return TrainResult(
            self.out,
            epochs,
            epochs if best is None else best,
            self.state.best_ap,
            round(self.state.seconds, 1),
        )

    def terms(self, part: Part) -> dict[str, Tensor]:
        """The method's loss on images ``(B, bands, S, S)``, tags ``(B, C)`` and the other views it declares."""
        images, tags, *views = part.fields
        progress = Progress(self.state.step, self.steps, self.state.epoch, self.epochs)
        return self.method.loss(self.model(images, tags, views=views), tags, progress)

    def weight(self, part: Part) -> float:
        """The part's fraction of the images of all processes: every image counts the same."""
        own, whole = self.batches.sizes(self.state.batch)
        return part.share * (own / whole)

    def factor(self, step: int) -> float:
        """Factor on the base learning rates at a step."""
        return factor(step, self.steps, self.epochs, self.settings.optimiser)

    @property
    def epochs(self) -> int:
        """Number of epochs; more if the tags have turned out to be hard. The rates then follow from all of them."""
        return self.settings.epochs + (self.settings.more_epochs if self.has_hard_tags() else 0)

    @property
    def first_epochs(self) -> int:
        """Number of epochs after which it shows whether the tags are hard."""
        return max(self.settings.epochs // FIRST_PART, 1)

    def has_hard_tags(self) -> bool:
        """Whether the tags were still poorly known after the first epochs."""
        rows, first = self.state.rows, self.first_epochs
        return len(rows) >= first and rows[first - 1].get("val_ap", 1.0) < HARD_AP

    def finish_row(self, row: dict[str, Any]) -> None:
        """Validate, and keep the best weights; on a tie the later ones, whose logits are further apart."""
        state = self.state
        row["open_heads"] = self.method.open_heads()
        row |= self.validate()
        better = state.best_ap is None or row.get("val_ap", 0.0) >= state.best_ap
        if not self.validation or better:
            state.best_epoch = state.epoch + 1
            state.best_ap = row.get("val_ap")
            self.save_model(self.out / layout.MODEL, self.method.kept_weights())
        every = self.settings.keep_epochs
        if every and (state.epoch + 1) % every == 0:
            self.save_model(self.out / layout.epoch_model(state.epoch + 1), self.method.kept_weights())

    def validate(self) -> dict[str, Any]:
        """AP and F1 of the tags over the validation images, which keep their aspect ratios."""
        if not self.validation:
            return {}
        settings = self.settings
        whole = WholeImages(
            self.validation, self.images, settings.backbone.image_size, self.method.patch, self.mean, self.std
        )
        found = score_tags(self.accelerator, self.method, whole, settings.batch_size, settings.workers)
        return {
            "val_ap": found.mean_ap,
            "val_f1": found.f1,
            "val_tag_threshold": found.threshold,
            "val_ap_per_class": list(found.ap_per_class),
        }

    def remarks(self, row: dict[str, Any]) -> list[str]:
        """Scores of the predicted tags, and the number of open heads."""
        said = [f"val AP {row['val_ap']:.3f}, F1 {row['val_f1']:.3f}"] if "val_ap" in row else []
        if self.settings.more_epochs and row["epoch"] == self.first_epochs and self.has_hard_tags():
            said.append(f"hard tags (AP below {HARD_AP}), so {counted(self.settings.more_epochs, 'epoch')} more")
        return said if row["open_heads"] is None else [*said, f"open heads {sum(row['open_heads'])}"]


def follow_after(optimiser: torch.optim.Optimizer, teacher: Teacher) -> None:
    """Start the teacher from its student, whose head may have been fitted, and update it after every step."""
    teacher.start()
    optimiser.register_step_post_hook(lambda *_: teacher.follow())
