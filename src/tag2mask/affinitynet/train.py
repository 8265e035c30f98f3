"""Training the random walk: do two neighbouring patches, both sure of what they are, share their label?

No truth is opened. Shapes: M patches, D width, P pairs, h w patch grid.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from tag2mask._version import __version__
from tag2mask.affinitynet import walk as layout
from tag2mask.affinitynet.pair_labels import KINDS, VOID, Labelled, label_photographs, pair_kinds
from tag2mask.affinitynet.walk import AffinityNet, WalkSettings, pair_affinity, pairs
from tag2mask.data.folder import images_folder, require_outside
from tag2mask.data.loading import load_image
from tag2mask.data.transforms import eval_resize
from tag2mask.errors import DataError, RunError, SettingsError
from tag2mask.files import abandon, begin, held, settle, vacant, write_json_lines, write_yaml
from tag2mask.masks.localize import Localizer
from tag2mask.masks.resolve import resolve_masks, tagged_samples
from tag2mask.progress import Bar, progress_bar
from tag2mask.refine.settings import WALK
from tag2mask.tensors import write_tensors
from tag2mask.training.batches import EpochBatches
from tag2mask.training.interrupt import deferred_interrupt
from tag2mask.training.run import Run, open_run
from tag2mask.training.schedule import poly
from tag2mask.vit.weights import build_backbone, normalisation, weights_source

WEIGHTS = (1 / 4, 1 / 4, 1 / 2)
WEIGHTS_WITHOUT_BACKGROUND = (0.0, 1 / 2, 1 / 2)
EPS = 1e-5


@dataclass(frozen=True)
class WalkSummary:
    """What came of it: the walk in ``path``, and the loss of the first and the last epoch."""

    path: Path
    photographs: int
    pairs: dict[str, int]
    first_loss: float
    last_loss: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        row = asdict(self)
        return {"walk": str(row.pop("path")), **row}


def train_walk(run: Path, out: Path, settings: WalkSettings) -> WalkSummary:
    """Label the photographs of a split by the class maps of ``run``, train, and leave a walk in ``out``.

    Interrupted, it leaves nothing.

    Raises:
        DataError, SettingsError, WeightsError: what is wrong with the input.
        RunError: ``run`` is no run, or ``out`` is not empty.
    """
    start = time.monotonic()
    opened = open_run(run)
    settings = resolved(settings, opened)
    require_outside(out, images_folder(opened.data))
    require_vacant(out)
    samples = tagged_samples(opened, settings.masks, "a walk")
    torch.manual_seed(settings.seed)
    net = build_net(opened, settings)
    localizer = Localizer(opened, settings.masks)
    with held(out):  # a folder that cannot be made shows before the work
        require_vacant(out)
        labelled = label_photographs(localizer, samples, net.patch, settings)
        trainer = WalkTrainer(opened, net.to(next(localizer.method.parameters()).device), labelled, settings)
        rows = trainer.run()
        with deferred_interrupt():
            write_walk(out, opened, trainer, rows)
    first, last = (sum(row["loss"].values()) for row in (rows[0], rows[-1]))
    return WalkSummary(out, len(labelled), rows[0]["pairs"], first, last, round(time.monotonic() - start, 1))


def require_vacant(out: Path) -> None:
    """Nothing is there.

    Raises:
        RunError: something is.
    """
    if not vacant(out):
        raise RunError(f"{out} is not empty; choose another --out")


def resolved(settings: WalkSettings, run: Run) -> WalkSettings:
    """The settings with everything decided that depends on the run.

    Raises:
        SettingsError: the labels' refiners are unknown, out of order, or a walk.
    """
    masks = resolve_masks(settings.masks, run)
    if WALK in masks.refine.names:
        raise SettingsError("masks.refine: a walk learns from maps that were not walked; leave walk out")
    own = run.settings
    backbone = (settings.backbone or own.backbone).model_copy(
        update={"image_size": settings.side, "bands": own.data.bands, "drop_path": 0.0, "positions": "resampled"}
    )
    weights = settings.weights or (own.weights if backbone.name == own.backbone.name else "hub")
    return settings.model_copy(update={"masks": masks, "backbone": backbone, "weights": weights})


def build_net(run: Run, settings: WalkSettings) -> AffinityNet:
    """The network, its backbone filled and its new layers fresh."""
    assert settings.backbone is not None
    return AffinityNet(build_backbone(settings.backbone, weights_source(settings.weights or run.settings.weights))[0])


def pair_losses(affinity_P: Tensor, kinds_P: Tensor, counts: Tensor, weights: Sequence[float]) -> dict[str, Tensor]:
    """1/4 bg + 1/4 fg + 1/2 different, each -sum log(a + 1e-5) / count over its pairs; log(1 + 1e-5 - a) if different.

    ``counts`` are those of the whole step, to which these pairs may be a part.
    """
    energies = (-(affinity_P + EPS).log(),) * 2 + (-(1 + EPS - affinity_P).log(),)
    return {
        name: weight * energy_P[kinds_P == kind].sum() / counts[kind].clamp_min(1)
        for kind, (name, energy_P, weight) in enumerate(zip(KINDS, energies, weights, strict=True))
        if weight > 0
    }


class WalkTrainer:
    """One training in progress: plain SGD on the new layers, photographs whole, half of them mirrored."""

    def __init__(self, run: Run, net: AffinityNet, labelled: Sequence[Labelled], settings: WalkSettings) -> None:
        """Get ready.

        Raises:
            DataError: no two neighbouring patches are known to differ.
        """
        assert settings.backbone is not None
        self.data = run.settings.data
        self.mean, self.std = normalisation(settings.backbone, self.data)
        self.net = net.train()
        self.labelled = labelled
        self.settings = settings
        self.device = net.mix.weight.device
        self.weights = WEIGHTS_WITHOUT_BACKGROUND if run.classes.background is None else WEIGHTS
        self.counts = torch.stack([self.pairs_of(one)[-1].bincount(minlength=VOID + 1) for one in labelled])
        if self.counts[:, KINDS.index("different")].sum() == 0:
            raise DataError(
                "no two neighbouring patches are known to differ, so there is nothing to learn: lower trust, raise "
                "high_alpha, or take photographs with more than one class"
            )
        self.optimiser = torch.optim.SGD(
            net.new_parameters(), settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
        self.step = 0
        self.steps = settings.epochs * math.ceil(len(labelled) / settings.batch_size)

    def run(self) -> list[dict[str, Any]]:
        """Train to the end; a row an epoch."""
        rows = []
        with progress_bar("walk", self.settings.epochs * len(self.labelled)) as bar:
            for epoch in range(self.settings.epochs):
                rows.append(self.run_epoch(epoch, bar))
                bar.say(describe(rows[-1]))
        self.net.eval()
        return rows

    def run_epoch(self, epoch: int, bar: Bar) -> dict[str, Any]:
        """All photographs once, and the row of metrics: mean loss terms of the steps, pairs by kind."""
        clock = time.monotonic()
        sums: dict[str, float] = {}
        batches = EpochBatches(len(self.labelled), self.settings.batch_size, self.settings.seed, epoch)
        for batch in batches:
            for name, value in self.learn(batch).items():
                sums[name] = sums.get(name, 0.0) + value / len(batches)
            bar.advance(len(batch), f"epoch {epoch + 1}")
        return {
            "epoch": epoch + 1,
            "step": self.step,
            "loss": sums,
            "lr": self.optimiser.param_groups[0]["lr"],
            "pairs": dict(zip((*KINDS, "void"), self.counts.sum(0).tolist(), strict=True)),
            "seconds": round(time.monotonic() - clock, 1),
        }

    def learn(self, batch: Sequence[tuple[int, int]]) -> dict[str, float]:
        """One step on photographs given as (seed, index), one after another in memory; the loss by its terms."""
        counts = self.counts[[index for _, index in batch]].sum(0).to(self.device)
        sums: dict[str, float] = {}
        for seed, index in batch:
            mirrored = torch.rand((), generator=torch.Generator().manual_seed(seed)).item() < self.settings.flip
            terms = self.losses(self.labelled[index], counts, mirrored)
            total = torch.stack(list(terms.values())).sum()
            if not torch.isfinite(total):
                raise RunError(f"the loss is {total.item()} at step {self.step + 1}; lower lr")
            torch.autograd.backward(total)
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + term.item()
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.lr * poly(self.step / self.steps, self.settings.power)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.step += 1
        return sums

    def losses(self, one: Labelled, counts: Tensor, mirrored: bool) -> dict[str, Tensor]:
        """What one photograph adds to the terms of its step."""
        image = load_image(one.sample.image, self.data)
        pixels, _ = eval_resize(image, self.settings.side, self.net.patch, self.mean, self.std)
        first_P, second_P, kinds_P = (index.to(self.device) for index in self.pairs_of(one, mirrored))
        features_MD = self.net((pixels.flip(-1) if mirrored else pixels)[None].to(self.device))[0]
        return pair_losses(pair_affinity(features_MD, first_P, second_P), kinds_P, counts, self.weights)

    def pairs_of(self, one: Labelled, mirrored: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """First and second patch of all pairs, and their kinds."""
        labels_hw = one.labels_hw.flip(-1) if mirrored else one.labels_hw
        first_P, second_P = pairs((labels_hw.shape[0], labels_hw.shape[1]), self.settings.radius)
        return first_P, second_P, pair_kinds(labels_hw.flatten(), first_P, second_P)


def describe(row: dict[str, Any]) -> str:
    """An epoch in one line."""
    terms = ", ".join(f"{name} {value:.4f}" for name, value in row["loss"].items())
    return f"epoch {row['epoch']}: {terms}; {row['seconds']:.0f} s"


def write_walk(out: Path, run: Run, trainer: WalkTrainer, rows: Sequence[dict[str, Any]]) -> None:
    """The folder; the weights come last, so that a walk with weights is whole."""
    settings = trainer.settings
    content = {
        "settings": settings.model_dump(mode="json"),
        "mean": list(trainer.mean),
        "std": list(trainer.std),
        "run": {"name": run.path.resolve().name, "sha256": run.checkpoint_hash()},
        "data": str(run.data),
        "photographs": len(trainer.labelled),
        "labels_used": f"image tags, {settings.masks.tags}",
        "truth_used": run.truth_used,
        "versions": {"tag2mask": __version__, "torch": str(torch.__version__), "timm": timm.__version__},
    }
    begin(out, (layout.CONFIG, layout.METRICS))
    try:
        write_yaml(out / layout.CONFIG, content)
        write_json_lines(out / layout.METRICS, rows)
        write_tensors(out / layout.WEIGHTS, trainer.net.state_dict(), {"epochs": str(settings.epochs)})
    except BaseException:
        abandon(out)
        raise
    settle(out)
