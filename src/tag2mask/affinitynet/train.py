"""Training of the random walk: predict whether two neighbouring patches with sure labels have the same label.

No truth is opened. Shapes: M patches, D width, P pairs, h w patch grid.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from torch.utils.data import Dataset as TorchDataset

from tag2mask._version import __version__
from tag2mask.affinitynet import walk as layout
from tag2mask.affinitynet.pair_labels import KINDS, VOID, Labelled, label_patches, pair_kinds
from tag2mask.affinitynet.settings import WalkSettings
from tag2mask.affinitynet.walk import AffinityNet, pair_affinity, pairs
from tag2mask.data.folder import images_folder, require_outside
from tag2mask.data.loading import load_image
from tag2mask.data.transforms import eval_resize
from tag2mask.errors import DataError, RunError, SettingsError
from tag2mask.files import stopped_early, write_yaml
from tag2mask.masks.localize import Localizer
from tag2mask.masks.resolve import resolve_masks, tagged_samples, unrefined
from tag2mask.refine.settings import WALK
from tag2mask.shown import Shown, counted
from tag2mask.stored import read_stored
from tag2mask.training.epochs import EpochLoop, add_to
from tag2mask.training.interrupt import Interrupt, deferred_interrupt
from tag2mask.training.parts import Part
from tag2mask.training.run import Run, RunConfig, open_run, require_parts
from tag2mask.training.schedule import poly
from tag2mask.training.start import open_accelerator, own_folder, require_empty, require_same_settings
from tag2mask.training.together import add_up, together
from tag2mask.vit.weights import Weights, build_backbone, normalisation, weights_source

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
WEIGHTS = (1 / 4, 1 / 4, 1 / 2)
WEIGHTS_WITHOUT_BACKGROUND = (0.0, 1 / 2, 1 / 2)
EPS = 1e-5


@dataclass(frozen=True)
class WalkSummary:
    """Result of training: the walk in ``path``, and the losses of the first and the last epoch."""

    path: Path
    images: int
    pairs: dict[str, int]
    first_loss: float
    last_loss: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the output for ``--json``."""
        row = asdict(self)
        return {"walk": str(row.pop("path")), **row}

    def shown(self) -> Shown:
        """Return the output for people."""
        return [f"{self.path}: {counted(self.images, 'image')}, loss {self.last_loss:.3f}"]


def train_walk(run: Path, out: Path, settings: WalkSettings, resume: bool = False) -> WalkSummary:
    """Label the images of a split by the class maps of ``run``, train a walk, and write it to ``out``.

    Raises:
        DataError, SettingsError, WeightsError: the input is wrong.
        RunError: ``run`` is not a run, ``out`` is not empty, or it cannot be resumed with these settings.
        KeyboardInterrupt: after the current step was saved.
    """
    start = time.monotonic()
    opened = open_run(run)
    settings = resolve_walk(settings, opened)
    require_outside(out, images_folder(opened.data))
    resume = resume and not stopped_early(out)
    accelerator = open_accelerator(settings)
    if resume:
        require_same_walk(out, opened, settings)
    elif accelerator.is_main_process:  # other processes may get here after it has started to write
        require_empty(out)
    samples = tagged_samples(opened, settings.masks, "a walk")
    torch.manual_seed(settings.seed)
    net = build_net(opened, settings, resume)
    localizer = Localizer(opened, settings.masks)
    with own_folder(out, resume):  # fails before the work if the folder cannot be created
        labelled = label_patches(localizer, samples, net.patch, settings)
        with deferred_interrupt() as interrupt, together():
            trainer = WalkTrainer(accelerator, opened, net, labelled, settings, out, interrupt)
            if resume:
                trainer.resume()
            elif accelerator.is_main_process:
                write_header(out, opened, trainer)
            trainer.run([trainer.resumed()] if resume else [])
    return trainer.summary(round(time.monotonic() - start, 1))


class WalkConfig(RunConfig):
    """The ``config.yaml`` of a walk."""

    run: dict[str, str]


def require_same_walk(out: Path, run: Run, settings: WalkSettings) -> None:
    """Check that settings and class maps are those of the walk to resume."""
    require_parts(out, (layout.CONFIG,), "a walk", "refine-train")
    config = read_stored(out / layout.CONFIG, WalkConfig)
    require_same_settings(out, WalkSettings.parse(config.settings, where=str(out / layout.CONFIG)), settings)
    if config.run != describe_teacher(run):
        raise RunError(f"{out} learned from the maps of another run, {config.run}; resume with that one")


def resolve_walk(settings: WalkSettings, run: Run) -> WalkSettings:
    """Complete the settings that depend on the run.

    Raises:
        SettingsError: the mask settings do not fit the run, or name a walk as refiner.
    """
    masks = resolve_masks(unrefined(settings.masks), run)
    if masks.refine.uses(WALK):
        raise SettingsError("masks.refine: a walk cannot learn from maps refined by a walk; leave walk out")
    own = run.settings
    backbone = (settings.backbone or own.backbone).model_copy(
        update={"image_size": settings.side, "bands": own.data.bands, "drop_path": 0.0, "positions": "resampled"}
    )
    weights = settings.weights or (own.weights if backbone.name == own.backbone.name else "hub")
    return settings.model_copy(update={"masks": masks, "backbone": backbone, "weights": weights})


def build_net(run: Run, settings: WalkSettings, resume: bool = False) -> AffinityNet:
    """Build the network with fresh new layers; with ``resume``, the backbone's weights come from the state later."""
    assert settings.backbone is not None
    weights: Weights = "none" if resume else weights_source(settings.weights or run.settings.weights)
    return AffinityNet(build_backbone(settings.backbone, weights)[0])


def pair_losses(affinity_P: Tensor, kinds_P: Tensor, counts: Tensor, weights: Sequence[float]) -> dict[str, Tensor]:
    """1/4 bg + 1/4 fg + 1/2 different, each -sum log(a + 1e-5) / count over its pairs; log(1 + 1e-5 - a) if different.

    ``weights`` are these factors. ``counts`` are those of the whole step, of which these pairs may be only a part.
    """
    energies = (-(affinity_P + EPS).log(),) * 2 + (-(1 + EPS - affinity_P).log(),)
    return {
        name: weight * energy_P[kinds_P == kind].sum() / counts[kind].clamp_min(1)
        for kind, (name, energy_P, weight) in enumerate(zip(KINDS, energies, weights, strict=True))
        if weight > 0
    }


class WholeLabelled(TorchDataset[tuple[Tensor, Tensor]]):
    """Whole labelled images, some of them mirrored: normalised pixels ``(bands, Y, X)`` and labels ``(h, w)``.

    Items are indexed by (seed, index), which alone decides whether an image is mirrored.
    """

    def __init__(
        self, run: Run, labelled: Sequence[Labelled], patch: int, settings: WalkSettings, statistics: Statistics
    ) -> None:
        self.data = run.settings.data
        self.labelled = labelled
        self.patch = patch
        self.settings = settings
        self.statistics = statistics

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        seed, index = key
        one = self.labelled[index]
        image = load_image(one.sample.image, self.data)
        pixels, _ = eval_resize(image, self.settings.side, self.patch, *self.statistics)
        if torch.rand((), generator=torch.Generator().manual_seed(seed)).item() < self.settings.flip:
            return pixels.flip(-1), one.labels_hw.flip(-1)
        return pixels, one.labels_hw


def collate_unstacked(items: Sequence[tuple[Tensor, ...]]) -> list[list[Tensor]]:
    """Collate images of any sizes into a list of pixels and a list of labels."""
    return [list(parts) for parts in zip(*items, strict=True)]


class WalkTrainer(EpochLoop[WalkSettings]):
    """A training in progress: SGD on the new layers."""

    title = "walk"
    advice = "lower lr"

    def __init__(
        self,
        accelerator: Accelerator,
        run: Run,
        net: AffinityNet,
        labelled: Sequence[Labelled],
        settings: WalkSettings,
        out: Path,
        interrupt: Interrupt,
    ) -> None:
        """Prepare the training.

        Raises:
            DataError: no two neighbouring patches are known to differ.
        """
        assert settings.backbone is not None
        self.statistics = normalisation(settings.backbone, run.settings.data)
        self.weights = WEIGHTS_WITHOUT_BACKGROUND if run.classes.background is None else WEIGHTS
        kinds = [pairs_of(one.labels_hw, settings.radius)[-1] for one in labelled]
        self.found = torch.stack([kinds_P.bincount(minlength=VOID + 1) for kinds_P in kinds]).sum(0)
        if self.found[KINDS.index("different")] == 0:
            raise DataError(
                "no two neighbouring patches are known to differ, so there is nothing to learn: lower trust, raise "
                "high_alpha, or take images with more than one class"
            )
        optimiser = torch.optim.SGD(
            [{"params": net.new_parameters(), "base": settings.lr}],
            settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        images = WholeLabelled(run, labelled, net.patch, settings, self.statistics)
        super().__init__(
            accelerator, net, optimiser, images, len(labelled), settings, None, out, interrupt, collate_unstacked
        )

    def factor(self, step: int) -> float:
        """Factor on the base learning rate at a step."""
        return poly(step / self.steps, self.settings.power)

    def survey(self, parts: Sequence[Part]) -> None:
        """Count the pairs of the whole batch by kind."""
        kinds = [kinds_P for part in parts for _, _, kinds_P in self.pairs_in(part)]
        self.counts_in_batch = add_up(torch.stack([kinds_P.bincount(minlength=VOID + 1) for kinds_P in kinds]).sum(0))

    def terms(self, part: Part) -> dict[str, Tensor]:
        """Losses of the pairs of images ``(bands, Y, X)`` with labels ``(h, w)``.

        Each term is this part of the mean over the pairs of that kind in the whole batch.
        """
        sums: dict[str, Tensor] = {}
        # From the last image to the first: the backward pass then adds gradients in the same order as version 0.1.
        pairs = zip(part.fields[0], self.pairs_in(part), strict=True)
        for pixels, (first_P, second_P, kinds_P) in reversed(list(pairs)):
            features_MD = self.model(pixels[None])[0]
            # Recomputed in the backward pass: features of all pairs take a hundred times the memory of the patches'.
            affinity_P = checkpoint(pair_affinity, features_MD, first_P, second_P, use_reentrant=False)
            for name, term in pair_losses(affinity_P, kinds_P, self.counts_in_batch, self.weights).items():
                add_to(sums, name, term)
        return sums

    def pairs_in(self, part: Part) -> list[tuple[Tensor, Tensor, Tensor]]:
        """First and second patch of all pairs of each image, and their kinds."""
        own, _ = self.batches.sizes(self.state.batch)
        return [self.own_pairs(labels_hw, own > 0) for labels_hw in part.fields[1]]

    def own_pairs(self, labels_hw: Tensor, own: bool) -> tuple[Tensor, Tensor, Tensor]:
        """First and second patch of all pairs, and their kinds; all void if the image belongs to another process."""
        first_P, second_P, kinds_P = pairs_of(labels_hw, self.settings.radius)
        return first_P, second_P, kinds_P if own else torch.full_like(kinds_P, VOID)

    def weight(self, part: Part) -> float:
        """Always 1: each term already is a part of the mean over the whole batch."""
        return 1.0

    def finish_row(self, row: dict[str, Any]) -> None:
        """Add the pairs by kind; save the weights only after the last epoch, so a walk with weights is complete."""
        row["pairs"] = dict(zip((*KINDS, "void"), self.found.tolist(), strict=True))
        if self.state.epoch + 1 == self.settings.epochs:
            self.save_model(self.out / layout.WEIGHTS, self.module.state_dict())

    def remarks(self, row: dict[str, Any]) -> list[str]:
        """Return no remarks."""
        return []

    def summary(self, seconds: float) -> WalkSummary:
        """Summarise the training."""
        rows = self.state.rows
        first, last = (sum(row["loss"].values()) for row in (rows[0], rows[-1]))
        return WalkSummary(self.out, self.count, rows[0]["pairs"], first, last, seconds)


def pairs_of(labels_hw: Tensor, radius: int) -> tuple[Tensor, Tensor, Tensor]:
    """First and second patch of all neighbouring pairs, and their kinds."""
    first_P, second_P = pairs((labels_hw.shape[0], labels_hw.shape[1]), radius, labels_hw.device)
    return first_P, second_P, pair_kinds(labels_hw.flatten(), first_P, second_P)


def describe_teacher(run: Run) -> dict[str, str]:
    """Identify the run whose maps are learned from."""
    return {"name": run.path.resolve().name, "sha256": run.checkpoint_hash()}


def write_header(out: Path, run: Run, trainer: WalkTrainer) -> None:
    """Write what the folder of a walk holds before its first step."""
    settings, (mean, std) = trainer.settings, trainer.statistics
    write_yaml(
        out / layout.CONFIG,
        {
            "settings": settings.model_dump(mode="json"),
            "mean": list(mean),
            "std": list(std),
            "run": describe_teacher(run),
            "data": str(run.data),
            "photographs": trainer.count,
            "labels_used": f"image tags, {settings.masks.tags}",
            "truth_used": run.truth_used,
            "versions": {"tag2mask": __version__, "torch": str(torch.__version__), "timm": timm.__version__},
        },
    )
