"""Learning from masks: from a mask set to a segmenter.

Shapes: B batch, K pixel classes, S side of a crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from tag2mask.beginnings import require_begun_as
from tag2mask.data.folder import images_folder, require_outside
from tag2mask.files import stopped_early
from tag2mask.segmentation.build import architecture, build_segmenter
from tag2mask.segmentation.clipping import clipped_loss, counted_pixels, mean_parts, thresholds
from tag2mask.segmentation.crops import PAINTED, TOUCHED, Crop, LabelledCrops
from tag2mask.segmentation.folder import SegmenterRun, open_segmenter, write_segmenter_header
from tag2mask.segmentation.losses import collision, pair_count, potts
from tag2mask.segmentation.model import Built, Segmenter, ViTSegmenter
from tag2mask.segmentation.optimiser import optimiser_for, poly_rate
from tag2mask.segmentation.settings import FROM_RUN, SegmentSettings
from tag2mask.segmentation.sources import LabelSource, open_labels
from tag2mask.segmentation.start import fit_decoder, start_from_run
from tag2mask.shown import Shown, Table, counted
from tag2mask.training.epochs import EpochLoop, add_to
from tag2mask.training.interrupt import Interrupt, deferred_interrupt
from tag2mask.training.memory import buffers_kept
from tag2mask.training.parts import Part
from tag2mask.training.run import MODEL, Run, open_run
from tag2mask.training.settings import with_epochs
from tag2mask.training.start import open_accelerator, own_folder, require_empty, require_same_settings
from tag2mask.training.together import add_up, alone, together
from tag2mask.vit.weights import Weights, weights_source

LOSSES = {"hard": "cross_entropy", "soft": "collision"}  # name of the loss on the labels in the metrics, by target


@dataclass(frozen=True)
class SegmentResult:
    """The result of a finished training; ``kept_precision`` is None without truth.

    ``rounds`` has one row per round if it was trained in rounds.
    """

    path: Path
    images: int
    epochs: int
    loss: float
    kept: float
    kept_precision: float | None
    labels_used: str
    truth_used: str
    seconds: float
    rounds: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the output for ``--json``."""
        return {**{key: value for key, value in vars(self).items() if key != "path"}, "segmenter": str(self.path)}

    def shown(self) -> Shown:
        """Return the output for people."""
        trained = f"{counted(self.epochs, 'epoch')} on {counted(self.images, 'image')}"
        line = f"{self.path}: {trained}, loss {self.loss:.3f}"
        if not self.rounds:
            return [line]
        digits = {"round": 0, "loss": 3, "changed": 1, "precision": 1, "val_miou": 1}
        rows = [["-" if row[key] is None else f"{row[key]:.{n}f}" for key, n in digits.items()] for row in self.rounds]
        return [Table(["round", "loss", "labels changed %", "labels right %", "val mIoU"], rows), line]


def segment(
    run: Path,
    masks: Path | None,
    out: Path,
    settings: SegmentSettings,
    truth: Path | None = None,
    fully_supervised: bool = False,
    resume: bool = False,
    corrections: Path | None = None,
) -> SegmentResult:
    """Train a segmenter on a mask set and write it to ``out``; ``run`` provides images, classes and backbone.

    ``truth`` is only used to score the labels' precision, or learned if ``fully_supervised``. Masks in ``corrections``
    replace the painted ones, and the pixels that people touched count fully; rejected images are left out.

    Raises:
        DataError, MaskSetError, SettingsError, WeightsError: the input is wrong.
        RunError: ``run`` is not a run, ``out`` is not empty, or it cannot be resumed with these settings.
        KeyboardInterrupt: after the current step was saved.
    """
    opened = open_run(run)
    resume = resume and not stopped_early(out)
    settings = resolve_segmenter(settings, opened, fully_supervised)
    split = settings.split or opened.settings.split
    source = open_labels(opened, masks, truth, fully_supervised, split, settings.target, corrections)
    if not resume:
        require_empty(out)
    return train_segmenter(opened, source, out, settings, resume)


def train_segmenter(run: Run, source: LabelSource, out: Path, settings: SegmentSettings, resume: bool) -> SegmentResult:
    """Train a segmenter on ``source`` with settings from ``resolve_segmenter``, or resume the one in ``out``."""
    require_outside(out, images_folder(run.data))
    settings = with_epochs(settings, len(source.images))
    before = require_same_training(out, settings, source.origin) if resume else None
    built = build_start(run, settings, resume)
    assert settings.crop is not None
    seen = before or built
    crops = LabelledCrops(
        source.images, run.classes, settings.crop, run.settings.data, seen.mean, seen.std, settings.augment
    )
    accelerator = open_accelerator(settings)
    with deferred_interrupt() as interrupt, together(), own_folder(out, resume):
        if settings.fits_decoder and not resume:
            assert isinstance(built.segmenter, ViTSegmenter)
            fit_decoder(built.segmenter, crops, settings.seed, accelerator, interrupt)
        trainer = SegmentTrainer(accelerator, built.segmenter, crops, settings, out, interrupt)
        if resume:
            trainer.resume()
        elif accelerator.is_main_process:
            write_segmenter_header(out, run, source, settings, built)
        start = trainer.resumed() if resume else built.report.summary()
        trainer.run([start, f"labels: {source.origin['labels_used']}; truth used: {source.origin['truth_used']}"])
    return trainer.result(source.origin)


def build_start(run: Run, settings: SegmentSettings, resume: bool) -> Built:
    """Build the network with the weights that it starts from; resumed weights come from the state file instead.

    Raises:
        WeightsError, RunError: the weights are not available or do not fit.
    """
    assert settings.weights is not None
    from_run = settings.weights == FROM_RUN
    weights: Weights = "none" if resume or from_run else weights_source(settings.weights)
    torch.manual_seed(settings.seed)
    built = build_segmenter(settings, run.settings.data, len(run.classes.pixel_names), weights)
    return start_from_run(built, run, settings) if from_run and not resume else built


def resolve_segmenter(settings: SegmentSettings, run: Run, fully_supervised: bool = False) -> SegmentSettings:
    """Complete the settings that depend on the run and on the kind of labels.

    Raises:
        SettingsError: the architecture, its backbone or its encoder is unknown, or they do not work together.
    """
    crop = settings.crop or run.settings.backbone.image_size
    trusted = fully_supervised or settings.fits_decoder
    tau = settings.clipping.tau_for(len(run.classes.pixel_names), trusted)
    clipping = settings.clipping.model_copy(update={"tau": tau, "tile": settings.clipping.tile_for(crop)})
    settings = settings.model_copy(update={"crop": crop, "clipping": clipping})
    return architecture(settings.architecture).complete(settings, run.settings)


def require_same_training(out: Path, settings: SegmentSettings, origin: dict[str, Any]) -> SegmenterRun:
    """Open the segmenter to resume, after checking that settings and labels are the same."""
    before = open_segmenter(out)
    require_same_settings(out, before.settings, settings)
    require_begun_as(out, {key: before.origin.get(key) for key in origin}, origin, "resume with the same labels")
    return before


class SegmentTrainer(EpochLoop[SegmentSettings]):
    """A segmenter in training."""

    title = "segment"
    advice = "lower optimiser.lr, or use --set precision=fp32"

    def __init__(
        self,
        accelerator: Accelerator,
        segmenter: Segmenter,
        crops: LabelledCrops,
        settings: SegmentSettings,
        out: Path,
        interrupt: Interrupt,
    ) -> None:
        self.ignore = crops.classes.ignore
        self.tau = settings.clipping.tau_for(len(crops.classes.pixel_names))
        self.tile = settings.clipping.tile_for(crops.crop)
        optimiser = optimiser_for(segmenter.parameter_groups(), settings.optimiser)
        clip = settings.optimiser.clip
        super().__init__(accelerator, segmenter, optimiser, crops, len(crops), settings, clip, out, interrupt)
        # A single crop has no statistics of its own for a BatchNorm.
        self.fewest = 2 if any(isinstance(module, _BatchNorm) for module in segmenter.modules()) else 1

    def factor(self, step: int) -> float:
        """Factor on the base learning rates at a step."""
        return poly_rate(step, self.steps, self.settings.optimiser)

    def survey(self, parts: Sequence[Part]) -> None:
        """Count pixels and pairs of the whole batch; with several parts, compute the thresholds of its pixels.

        These depend on the energies of all parts, so each is then computed twice.
        """
        crops, tiles = [Crop(*part.fields) for part in parts], self.settings.clipping.tiles
        labels_BYX, _, meant_BYX = self.own(torch.cat([crop.labels for crop in crops])).unbind(1)
        self.pixels = self.add_own(counted_pixels(labels_BYX != self.ignore, tiles).sum())
        self.pairs = self.add_own(torch.stack([pair_count(crop.size) for crop in crops]).sum())
        self.thresholds = None
        if len(parts) > 1 and self.tau > 0:
            energies, size = [], len(crops[0].image)
            own = zip(parts, crops, torch.split(labels_BYX, size), torch.split(meant_BYX, size), strict=True)
            with torch.no_grad(), buffers_kept(self.module):
                for part, crop, own_BYX, own_meant_BYX in own:
                    self.seed(part)
                    energies.append(self.energy(self.model(crop.image).float(), own_BYX, own_meant_BYX, crop))
            self.thresholds = torch.split(self.threshold(torch.cat(energies), labels_BYX, meant_BYX), size)

    def terms(self, part: Part) -> dict[str, Tensor]:
        """The clipped loss on the labels of the crops of a part, and the weighted Potts loss if its weight is not 0.

        Each is this part of the mean over the pixels, or pairs of pixels, of the whole batch.
        """
        crop, settings = Crop(*part.fields), self.settings
        labels_BYX, truth_BYX, meant_BYX = self.own(crop.labels).unbind(1)
        logits_BKYX = self.model(crop.image).float()
        energy_BYX = self.energy(logits_BKYX, labels_BYX, meant_BYX, crop)
        if self.thresholds is not None:
            threshold_BYX = self.thresholds[part.number]
        else:
            threshold_BYX = self.threshold(energy_BYX, labels_BYX, meant_BYX)
        clipped = clipped_loss(energy_BYX, labels_BYX != self.ignore, threshold_BYX, self.pixels)
        self.tally(labels_BYX, truth_BYX, clipped.kept_BYX)
        terms = {LOSSES[settings.target]: clipped.loss}
        if settings.potts:
            smooth = potts(logits_BKYX, crop.image, crop.size)
            own = pair_count(crop.size) * self.has_own()
            terms["potts"] = settings.potts * smooth * (own.to(smooth.dtype) / self.pairs.clamp_min(1))
        return terms

    def threshold(self, energy_BYX: Tensor, labels_BYX: Tensor, meant_BYX: Tensor) -> Tensor:
        """The energies above which pixels of the whole batch are clipped, ``(B, Y, X)``; touched pixels never are."""
        labelled_BYX, tiles = labels_BYX != self.ignore, self.settings.clipping.tiles
        level = None if alone() else self.add_own(mean_parts(energy_BYX, labelled_BYX, tiles))
        return thresholds(energy_BYX, labelled_BYX, self.tau, self.tile, tiles, level, meant_BYX == TOUCHED)

    def add_own(self, value: Tensor) -> Tensor:
        """Sum a value of the current batch over all processes whose batch is their own."""
        return add_up(value * self.has_own())

    def energy(self, logits_BKYX: Tensor, labels_BYX: Tensor, meant_BYX: Tensor, crop: Crop) -> Tensor:
        """Loss of each pixel, ``(B, Y, X)``; 0 where it is ignored. Only painted masks have soft labels."""
        if self.settings.target == "soft":
            painted_BYX = (labels_BYX != self.ignore) & (meant_BYX == PAINTED)
            soft_BYX = collision(logits_BKYX, crop.shares, crop.values, painted_BYX)
            labels_BYX = labels_BYX.masked_fill(painted_BYX, self.ignore)
            return soft_BYX + F.cross_entropy(logits_BKYX, labels_BYX, ignore_index=self.ignore, reduction="none")
        return F.cross_entropy(logits_BKYX, labels_BYX, ignore_index=self.ignore, reduction="none")

    def weight(self, part: Part) -> float:
        """Always 1: each term already is a part of the mean over the whole batch."""
        return 1.0

    def own(self, labels_BNYX: Tensor) -> Tensor:
        """Return the labels, all set to ignore if the batch belongs to another process."""
        return labels_BNYX if self.has_own() else torch.full_like(labels_BNYX, self.ignore)

    def has_own(self) -> bool:
        """Whether the current batch belongs to this process."""
        images, _ = self.batches.sizes(self.state.batch)
        return images > 0

    def tally(self, labels_BYX: Tensor, truth_BYX: Tensor, kept_BYX: Tensor) -> None:
        """Count labelled and kept pixels, and how many of them are right where truth is known."""
        labelled = labels_BYX != self.ignore
        scored = labelled & (truth_BYX != self.ignore)
        right = scored & (labels_BYX == truth_BYX)
        masks = {"labelled": labelled, "kept": kept_BYX, "scored": scored, "right": right}
        masks |= {"kept_scored": kept_BYX & scored, "kept_right": kept_BYX & right}
        for name, mask in masks.items():
            add_to(self.counts, name, mask.sum())

    def finish_row(self, row: dict[str, Any]) -> None:
        """Add the fraction of kept pixels and the precision of all and of kept labels; save the weights."""
        counts = self.state.counts
        row["kept"] = counts["kept"] / max(counts["labelled"], 1)
        if counts["scored"]:
            row["precision"] = counts["right"] / counts["scored"]
            row["kept_precision"] = counts["kept_right"] / max(counts["kept_scored"], 1)
        self.save_model(self.out / MODEL, self.module.state_dict())

    def remarks(self, row: dict[str, Any]) -> list[str]:
        """Percentage of kept labels if clipping is on, and their precision where truth is known."""
        said = [f"kept {100 * row['kept']:.1f} %"] if self.tau > 0 else []
        if "precision" in row:
            of_all = f"precision of labels {100 * row['precision']:.1f} %"
            said.append(of_all + (f" (of the kept ones {100 * row['kept_precision']:.1f} %)" if said else ""))
        return said

    def result(self, origin: dict[str, Any]) -> SegmentResult:
        """Summarise the training."""
        last = self.state.rows[-1]
        return SegmentResult(
            self.out,
            self.count,
            self.settings.epochs,
            sum(last["loss"].values()),
            last["kept"],
            last.get("kept_precision"),
            origin["labels_used"],
            origin["truth_used"],
            round(self.state.seconds, 1),
        )
