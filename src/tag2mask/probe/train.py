"""Training of the probe: fit one linear layer to the sure patches of all images of a split. No truth is opened.

Shapes: N patches, S scores.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tag2mask._version import __version__
from tag2mask.beginnings import ELSEWHERE, require_begun_as
from tag2mask.data import Sample
from tag2mask.data.folder import images_folder, require_outside
from tag2mask.errors import DataError, RunError, SettingsError
from tag2mask.files import held, vacant, write_json, write_yaml
from tag2mask.inference.settings import LookSettings
from tag2mask.masks.localize import Localizer
from tag2mask.masks.resolve import resolve_masks, tagged_samples, unrefined
from tag2mask.probe import probe as layout
from tag2mask.probe.boundary import narrow_classes
from tag2mask.probe.linear import (
    NEVER,
    UNSURE,
    LinearProbe,
    confident_labels,
    estimate_frequencies,
    estimate_priors,
    fit_probe,
    keep_lost,
)
from tag2mask.probe.patches import PATCHES, Patches, gather_patches
from tag2mask.probe.settings import ProbeSettings
from tag2mask.probe.sure_patches import unanimous_labels
from tag2mask.progress import progress_bar
from tag2mask.settings import read_yaml
from tag2mask.shown import Shown, counted
from tag2mask.stored import Count, Flag, Measured, Stored, read_stored
from tag2mask.tensors import write_tensors
from tag2mask.training.interrupt import Interrupt, deferred_interrupt
from tag2mask.training.run import OWN_PROBE, Run, open_run

SUMMARY = "summary.json"


class NothingSureError(DataError):
    """No patch surely shows a class, so there is nothing to learn."""


@dataclass(frozen=True)
class ProbeSummary:
    """Result of training: the probe in ``path``, and the images that failed.

    By name of a score, ``sure`` is its number of sure patches, and ``shares`` its estimated fraction of the patches of
    images that may show it. ``small`` says whether the classes count as small.
    """

    path: Path
    images: int
    sure: dict[str, int]
    shares: dict[str, float]
    small: bool
    failures: dict[str, str]
    seconds: float

    @property
    def unlearned(self) -> list[str]:
        """Classes without a sure patch, which the probe will never paint."""
        return [name for name, count in self.sure.items() if count == 0]

    def to_json(self) -> dict[str, Any]:
        """Return the output for ``--json``."""
        row = asdict(self)
        return {"probe": str(row.pop("path")), **row, "unlearned": self.unlearned}

    def shown(self) -> Shown:
        """Return the output for people."""
        return [
            f"{self.path}: {counted(self.images, 'image')}, {sum(self.sure.values())} sure patches",
            *(f"{name}: {why}" for name, why in self.failures.items()),
            *(f"no patch surely shows {name}: the probe will never paint it" for name in self.unlearned),
        ]


def train_probe(
    run: Path, out: Path | None, settings: ProbeSettings, samples: Sequence[Sample] | None = None
) -> ProbeSummary:
    """Train a probe from the class maps of ``run``; without ``out`` it becomes the run's own.

    ``samples`` are images in memory with their tags, None for those of the run's data folder. After an interruption,
    the same call continues; if the probe is finished, it returns the summary.

    Raises:
        NothingSureError: no patch surely shows a class; nothing is left in ``out``.
        DataError, SettingsError: the input is wrong.
        RunError: ``run`` is not a run, or ``out`` holds something else.
        KeyboardInterrupt: after the patches collected so far were saved.
    """
    start = time.monotonic()
    opened = open_run(run)
    settings = resolve_probe(settings, opened)
    out = out or run / OWN_PROBE
    if samples is None:
        require_outside(out, images_folder(opened.data))
        samples = tagged_samples(opened, settings.masks, "a probe")
    localizer = Localizer(opened, settings.masks)
    header = describe(opened, settings, samples)
    with held(out), deferred_interrupt() as interrupt:
        require_own(out, header)
        if (out / layout.WEIGHTS).is_file():
            return read_summary(out)
        write_yaml(out / layout.CONFIG, header)
        patches, failures = gather_patches(localizer, samples, settings, out, interrupt)
        try:
            learned = learn_layers(patches, settings, opened.classes.background is not None, interrupt)
        except NothingSureError:
            for name in (layout.CONFIG, PATCHES):
                (out / name).unlink(missing_ok=True)
            raise
        names = opened.classes.pixel_names
        summary = ProbeSummary(
            path=out,
            images=len(samples) - len(failures),
            sure=dict(zip(names, learned.sure_S.tolist(), strict=True)),
            shares={name: round(share, 4) for name, share in zip(names, learned.shares_S.tolist(), strict=True)},
            small=learned.small,
            failures=failures,
            seconds=round(time.monotonic() - start, 1),
        )
        write_json(out / SUMMARY, summary.to_json())
        tensors = {name: tensor for name, tensor in vars(learned.probe).items() if tensor is not None}
        write_tensors(out / layout.WEIGHTS, tensors, {})
        (out / PATCHES).unlink(missing_ok=True)
        return summary


class StoredSummary(Stored):
    """Required content of ``summary.json``."""

    images: Count
    sure: dict[str, Count]
    shares: dict[str, Measured]
    small: Flag
    failures: dict[str, str]
    seconds: Measured


def read_summary(out: Path) -> ProbeSummary:
    """Read the summary of a finished probe."""
    return ProbeSummary(out, **read_stored(out / SUMMARY, StoredSummary).model_dump())


def resolve_probe(settings: ProbeSettings, run: Run) -> ProbeSettings:
    """Complete the settings that depend on the run.

    Raises:
        SettingsError: the mask settings name refiners or a look, or do not fit the run.
    """
    masks = resolve_masks(unrefined(settings.masks), run)
    if masks.refine.names:
        raise SettingsError("masks.refine: a probe learns from unrefined class maps; leave the refiners out")
    if settings.masks.look != LookSettings():
        raise SettingsError("masks.look: a probe sees images at its own scales; set scales instead")
    scales = settings.scales or default_scales(run.settings.weights)
    return settings.model_copy(update={"masks": masks, "scales": scales})


def default_scales(weights: str) -> tuple[float, ...]:
    """Scales for a run that was trained from these weights."""
    return (1.0,) if weights == "none" else (1.0, 2.0)


def describe(run: Run, settings: ProbeSettings, samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the content of ``config.yaml``."""
    assert settings.scales is not None
    return {
        "settings": settings.model_dump(mode="json"),
        "classes": list(run.classes.pixel_names),
        "side": round(run.settings.backbone.image_size * settings.scales[-1]),
        "mean": list(run.mean),
        "std": list(run.std),
        "run": {"name": run.path.resolve().name, "sha256": run.checkpoint_hash()},
        "data": None if run.own_data is None else str(run.own_data),
        "images": len(samples),
        "labels_used": f"image tags, {settings.masks.tags}",
        "truth_used": run.truth_used,
        "versions": {"tag2mask": __version__, "torch": str(torch.__version__)},
    }


def require_own(out: Path, header: Mapping[str, Any]) -> None:
    """Check that the folder is new, or holds an unfinished or finished probe with this header.

    Raises:
        RunError: it is neither.
    """
    if vacant(out):
        return
    if not (out / layout.CONFIG).is_file():
        raise RunError(f"{out} is not empty; {ELSEWHERE}")
    ignored = {"run.name", "data"}  # they may have been moved
    if (out / layout.WEIGHTS).is_file():
        ignored |= {"versions.tag2mask", "versions.torch"}
    require_begun_as(out, read_yaml(out / layout.CONFIG), header, ignored=ignored)


@dataclass(frozen=True)
class Learned:
    """A probe, frequencies and numbers of sure patches of its scores, both ``(S,)``, and whether classes are small."""

    probe: LinearProbe
    shares_S: Tensor
    sure_S: Tensor
    small: bool


def learn_layers(patches: Patches, settings: ProbeSettings, background: bool, interrupt: Interrupt) -> Learned:
    """Train the layers of all rounds as ``ProbeSettings`` describes, and return the last with narrowed classes.

    Raises:
        NothingSureError: no patch is sure.
        KeyboardInterrupt: after a layer, if Ctrl-C was pressed.
    """
    labels_N = unanimous_labels(patches.label_NL.long())
    if not (labels_N != UNSURE).any():
        raise NothingSureError("no patch surely shows a class: lower sure or margin, or train the run longer")
    rounds = settings.rounds if background else 1
    with progress_bar("probe layers", rounds) as bar:

        def learn(labels_N: Tensor) -> tuple[LinearProbe, Tensor]:
            learned = learn_once(patches, labels_N, settings, background)
            bar.advance()
            if interrupt.asked:
                raise KeyboardInterrupt
            return learned

        probe, shares_S = learn(labels_N)
        sizes_C = shares_S[int(background) :][probe.bias_S[int(background) :] > NEVER]
        small = background and bool(sizes_C.mean() < settings.small)
        if small and patches.label_NL.shape[1] > 1:
            labels_N = patches.label_NL[:, -1].long()
            probe, shares_S = learn(labels_N)
        sure_S = torch.bincount(labels_N[labels_N != UNSURE], minlength=len(shares_S))
        for _ in range(1, 1 if small else rounds):
            labels_N = confident_labels(probe, *patches.within_tags, labels_N, settings.confidence)
            labels_N = keep_lost(labels_N, labels_N.masked_fill(patches.empty_N, 0))
            probe, shares_S = learn(labels_N)
    if background and not small and settings.narrow > 0:
        probe = narrow_classes(probe, *patches.within_tags, patches.beside_N2, settings.narrow)
        shares_S = estimate_frequencies(probe, *patches.within_tags)
    return Learned(probe, shares_S, sure_S, small)


def learn_once(
    patches: Patches, labels_N: Tensor, settings: ProbeSettings, background: bool
) -> tuple[LinearProbe, Tensor]:
    """Fit one layer to these labels; return it under its priors, and the frequencies of its scores ``(S,)``.

    The label of a class counts 1/T in an image with T tags: among several, the map may be mistaken.
    """
    tags_I = patches.allowed_IS[:, int(background) :].sum(1).clamp_min(1)
    worth_N = 1 / tags_I[patches.image_N.long()]
    if background:
        worth_N[labels_N == 0] = 1.0
    probe = fit_probe(
        patches.feature_ND,
        labels_N,
        worth_N,
        patches.allowed_IS.shape[1],
        settings.steps,
        settings.batch_size,
        settings.lr,
        settings.weight_decay,
        torch.Generator().manual_seed(settings.seed),
    )
    priors_S, shares_S = estimate_priors(probe, *patches.within_tags, background)
    return probe.with_priors(priors_S), shares_S
