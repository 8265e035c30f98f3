"""Training of the probe: collect the patches of all images of a split, and fit one linear layer to the sure ones.

No truth is opened. Shapes: D width, L looks (scales), N patches, S scores, I images, K tags of an image, h w patch
grid.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from tag2mask._version import __version__
from tag2mask.beginnings import ELSEWHERE, require_begun_as
from tag2mask.data import Sample
from tag2mask.data.folder import images_folder, require_outside
from tag2mask.data.loading import load_pixels
from tag2mask.errors import DataError, RunError, SettingsError
from tag2mask.files import held, vacant, write_json, write_yaml
from tag2mask.masks.localize import Localizer, share_of_classes
from tag2mask.masks.paint import normalise
from tag2mask.masks.resolve import resolve_masks, tagged_samples, unrefined
from tag2mask.probe import probe as layout
from tag2mask.probe.linear import NEVER, UNSURE, LinearProbe, confident_labels, estimate_priors, fit_probe, keep_lost
from tag2mask.probe.probe import look
from tag2mask.probe.settings import ProbeSettings
from tag2mask.probe.sure_patches import empty_patches, sure_patches, unanimous_labels
from tag2mask.progress import progress_bar
from tag2mask.settings import read_yaml
from tag2mask.shown import Shown, counted
from tag2mask.stored import Count, Flag, Measured, Stored, damaged, read_stored
from tag2mask.tensors import write_tensors
from tag2mask.training.batches import mix
from tag2mask.training.interrupt import Interrupt, deferred_interrupt
from tag2mask.training.run import OWN_PROBE, Run, open_run
from tag2mask.vit.grid import to_patches, to_pixels

SUMMARY, PATCHES = (
    "summary.json",
    "patches.safetensors",
)  # the latter holds the patches collected so far; it is deleted when the probe is finished
FEWEST = 4  # smallest number of patches kept per image, however many images there are
MEGABYTE = 2**20


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
        failures: dict[str, str] = {}
        patches = gather_patches(localizer, samples, settings, out, interrupt, failures)
        try:
            learned = learn_layers(patches, settings, opened.classes.background is not None)
        except NothingSureError:
            for name in (layout.CONFIG, PATCHES):
                (out / name).unlink(missing_ok=True)
            raise
        names = opened.classes.pixel_names
        summary = ProbeSummary(
            path=out,
            images=len(samples) - len(failures),
            sure=dict(zip(names, learned.sure_S.tolist(), strict=True)),
            shares={name: round(share, 4) for name, share in zip(names, learned.priors_S.tolist(), strict=True)},
            small=learned.small,
            failures=failures,
            seconds=round(time.monotonic() - start, 1),
        )
        write_json(out / SUMMARY, summary.to_json())
        write_tensors(out / layout.WEIGHTS, {"weight_SD": learned.probe.weight_SD, "bias_S": learned.probe.bias_S}, {})
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
        SettingsError: the mask settings name refiners or do not fit the run.
    """
    masks = resolve_masks(unrefined(settings.masks), run)
    if masks.refine.names:
        raise SettingsError("masks.refine: a probe learns from unrefined class maps; leave the refiners out")
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
    """A probe with priors ``(S,)``, number of sure patches per score ``(S,)``, and whether classes are small."""

    probe: LinearProbe
    priors_S: Tensor
    sure_S: Tensor
    small: bool


def learn_layers(patches: Patches, settings: ProbeSettings, background: bool) -> Learned:
    """Train the layers of all rounds as ``ProbeSettings`` describes, and return the last.

    Raises:
        NothingSureError: no patch is sure.
    """
    labels_N = unanimous_labels(patches.label_NL.long())
    if not (labels_N != UNSURE).any():
        raise NothingSureError("no patch surely shows a class: lower sure or margin, or train the run longer")
    probe, priors_S = learn_once(patches, labels_N, settings)
    sizes_C = priors_S[int(background) :][probe.bias_S[int(background) :] > NEVER]
    small = background and bool(sizes_C.mean() < settings.small)
    if small and patches.label_NL.shape[1] > 1:
        labels_N = patches.label_NL[:, -1].long()
        probe, priors_S = learn_once(patches, labels_N, settings)
    sure_S = torch.bincount(labels_N[labels_N != UNSURE], minlength=len(priors_S))
    for _ in range(1, settings.rounds if background and not small else 1):
        labels_N = confident_labels(
            probe, patches.feature_ND, patches.image_N.long(), patches.allowed_IS, labels_N, settings.confidence
        )
        labels_N = keep_lost(labels_N, labels_N.masked_fill(patches.empty_N, 0))
        probe, priors_S = learn_once(patches, labels_N, settings)
    return Learned(probe, priors_S, sure_S, small)


def learn_once(patches: Patches, labels_N: Tensor, settings: ProbeSettings) -> tuple[LinearProbe, Tensor]:
    """Fit one layer to these labels; return it under its priors, and the priors ``(S,)``."""
    probe = fit_probe(
        patches.feature_ND,
        labels_N,
        patches.allowed_IS.shape[1],
        settings.steps,
        settings.batch_size,
        settings.lr,
        settings.weight_decay,
        torch.Generator().manual_seed(settings.seed),
    )
    priors_S = estimate_priors(probe, patches.feature_ND, patches.image_N.long(), patches.allowed_IS)
    return probe.with_priors(priors_S), priors_S


@dataclass(frozen=True)
class Patches:
    """Per patch: float16 features ``(N, D)``, sure label in each look ``(N, L)``, whether all maps are empty, image.

    ``allowed_IS`` holds the scores that each image may show.
    """

    feature_ND: Tensor
    label_NL: Tensor
    empty_N: Tensor
    image_N: Tensor
    allowed_IS: Tensor


def gather_patches(
    localizer: Localizer,
    samples: Sequence[Sample],
    settings: ProbeSettings,
    out: Path,
    interrupt: Interrupt,
    failures: dict[str, str],
) -> Patches:
    """Collect the patches of every image, continuing an interrupted call; unreadable images go to ``failures``."""
    assert settings.scales is not None
    width, looks, scores = localizer.method.vit.width, len(settings.scales), len(localizer.run.classes.pixel_names)
    kept = max(settings.memory * MEGABYTE // (2 * width * len(samples)), FEWEST)
    parts = [load_patches(out / PATCHES, width, looks, scores)]
    done = len(parts[0].allowed_IS)
    saved = time.monotonic()
    with progress_bar("probe", len(samples), done) as bar:
        for index in range(done, len(samples)):
            try:
                parts.append(patches_of(localizer, samples[index], settings, index, kept))
            except DataError as error:
                failures[samples[index].name] = str(error)
                parts.append(no_patches(1, width, looks, scores))
            bar.advance()
            if interrupt.asked or time.monotonic() - saved > 60 * settings.save_minutes:
                parts = [join(parts)]
                write_tensors(out / PATCHES, vars(parts[0]), {})
                saved = time.monotonic()
            if interrupt.asked:
                raise KeyboardInterrupt
    return join(parts)


def join(parts: Sequence[Patches]) -> Patches:
    """Concatenate patches."""
    return Patches(*(torch.cat(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True)))


def load_patches(path: Path, width: int, looks: int, scores: int) -> Patches:
    """Load the patches that an interrupted call collected, or none."""
    if not path.is_file():
        return no_patches(0, width, looks, scores)
    with damaged(path), safe_open(path, "pt") as file:
        return Patches(*(file.get_tensor(name) for name in Patches.__dataclass_fields__))


def no_patches(images: int, width: int, looks: int, scores: int) -> Patches:
    """Return no patches, for a number of images."""
    nothing = torch.zeros(0, dtype=torch.int32)
    labels = nothing.view(0, 1).expand(0, looks)
    allowed = torch.zeros(images, scores).bool()
    return Patches(torch.zeros(0, width).half(), labels, nothing.bool(), nothing, allowed)


def patches_of(localizer: Localizer, sample: Sample, settings: ProbeSettings, index: int, kept: int) -> Patches:
    """Collect a random selection of at most ``kept`` patches of one image.

    Raises:
        DataError: the image cannot be read.
    """
    run, background = localizer.run, localizer.run.classes.background is not None
    image = load_pixels(sample, run.settings.data)
    assert settings.scales is not None
    looks = [
        look(run, localizer.method, image, round(run.settings.backbone.image_size * scale), with_maps=True)
        for scale in settings.scales
    ]
    evidence = [seen.evidence for seen in looks if seen.evidence is not None]
    tags, _ = localizer.tags_of(sample, torch.stack([one.scores_BC[0].float().cpu() for one in evidence]).mean(0))
    if not tags and not background:  # its patches have no class
        return no_patches(1, localizer.method.vit.width, len(looks), len(run.classes.pixel_names))
    last, patch = looks[-1], localizer.method.patch
    labels, empty = [], []
    for one, seen, scale in zip(evidence, looks, settings.scales, strict=True):
        assert one.maps_BChw is not None
        maps_BChw = share_of_classes(one.maps_BChw) if settings.masks.paint.relative else one.maps_BChw
        maps_Khw = torch.zeros(0, *last.features_hwD.shape[:2])
        if tags:
            pixels_KYX = to_pixels(maps_BChw[:, tags].float(), patch, seen.size)[0]
            maps_Khw = torch.from_numpy(normalise(to_patches(pixels_KYX, last.size, patch).cpu().numpy()))
        bare = min(settings.bare * scale, settings.sure)
        labels.append(sure_patches(maps_Khw, tags, background, settings.sure, settings.margin, bare).flatten())
        empty.append(empty_patches(maps_Khw, settings.empty * scale).flatten())
    labels_NL = torch.stack(labels, 1)
    generator = torch.Generator().manual_seed(mix(settings.seed, index))
    drawn_K = torch.randperm(len(labels_NL), generator=generator)[:kept].sort().values
    allowed_S = torch.zeros(len(run.classes.pixel_names), dtype=torch.bool)
    allowed_S[run.classes.values(tags)] = True
    return Patches(
        last.features_hwD.flatten(0, 1).cpu()[drawn_K].half(),
        labels_NL[drawn_K].int(),
        torch.stack(empty).all(0)[drawn_K],
        torch.full((len(drawn_K),), index, dtype=torch.int32),
        allowed_S[None],
    )
