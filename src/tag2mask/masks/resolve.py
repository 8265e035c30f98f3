"""Mask set settings that depend on the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tag2mask.data import Sample, open_dataset
from tag2mask.errors import DataError, SettingsError
from tag2mask.inference.settings import LookSettings
from tag2mask.masks.brush import resolve_paint
from tag2mask.masks.settings import BackgroundSettings, MaskSettings, PaintSettings
from tag2mask.refine.chain import PATCH_REFINERS, PIXEL_REFINERS, require_refiners
from tag2mask.refine.dense_crf import require_engine
from tag2mask.refine.settings import OWN, PROBE, SEGMENTER, WALK, RefineSettings
from tag2mask.training.run import OWN_PROBE, Run

# Settings of painting that apply to class maps, but not to a probe's probabilities.
OF_MAPS = frozenset({"rule", "relative", "threshold", "class_thresholds", "background"})


class PaintingSettings(Protocol):
    """The groups that ``MaskSettings`` and ``PredictSettings`` share."""

    @property
    def method(self) -> Mapping[str, Any]:
        """Settings of the method."""

    @property
    def look(self) -> LookSettings:
        """How images are seen."""

    @property
    def refine(self) -> RefineSettings:
        """The refiners."""

    @property
    def paint(self) -> PaintSettings:
        """How maps become labels."""


def resolve_masks(settings: MaskSettings, run: Run) -> MaskSettings:
    """Complete the settings that depend on the run.

    Raises:
        SettingsError: a refiner is unknown or out of order, or its extra or its folder is missing; or a threshold is
            set for a class that the run does not have.
    """
    refine = choose_refiners(settings, run.own_probe is not None)
    require_refiners(refine.names or ())
    require_engine(refine.crf_engine)
    if refine.uses(PROBE) and refine.probe is None and run.own_probe is None:
        raise SettingsError(f"{run.path} has no probe: train one with tag2mask train-probe {run.path}, or name --probe")
    for name, folder, verb in (
        (PROBE, probe_folder(refine, run) or refine.probe, "train-probe"),
        (WALK, refine.walk, "refine-train"),
        (SEGMENTER, refine.segmenter, "segment"),
    ):
        if refine.uses(name) != (folder is not None):
            raise SettingsError(
                f"--refine {name} and --{name} {name.upper()} must be given together: {name.upper()} is the folder "
                f"that tag2mask {verb} wrote"
            )
    if refine.uses(PROBE):
        require_effect(settings, refine)
    for name in (PROBE, SEGMENTER):
        if refine.uses(name) and settings.paint.rule != "argmax":
            raise SettingsError(
                f"--refine {name} gives probabilities, which need no thresholds: leave out rule=ordered"
            )
    paint = resolve_paint(settings.paint, run.classes, run.tag_threshold(), str(run.path))
    return settings.model_copy(update={"paint": paint, "refine": refine})


def require_effect(settings: MaskSettings, refine: RefineSettings) -> None:
    """Check that nothing is set that a probe would leave without effect.

    Raises:
        SettingsError: something is.
    """
    paint, look = settings.paint, settings.look
    idle = [f"refine {name}" for name in refine.names or () if name in (*PATCH_REFINERS, *PIXEL_REFINERS)]
    if paint.threshold != "mean" or paint.class_thresholds or paint.background.value != BackgroundSettings().value:
        idle.append("threshold")
    if settings.tags == "given":  # to predict tags, the method sees the image, too
        same_size = look.model_copy(update={"batch_size": LookSettings().batch_size})
        idle += [name for name, value in (("look", same_size != LookSettings()), ("method", settings.method)) if value]
    if idle:
        raise SettingsError(
            f"--refine probe does not use class maps, so {' and '.join(idle)} would have no effect: leave it or the "
            "probe out"
        )


def choose_refiners(settings: PaintingSettings, has_probe: bool) -> RefineSettings:
    """Fill in the refiners, if none were chosen; ``has_probe`` says whether the run has its own probe.

    The default is a probe and the CRF, if there is a probe and no setting is given that does not apply to it.
    """
    refine, look, paint = settings.refine, settings.look, settings.paint
    if refine.names is not None:
        return refine
    of_maps = settings.method or look.model_fields_set - {"batch_size"} or paint.model_fields_set & OF_MAPS
    probes = (has_probe or refine.probe is not None) and not of_maps
    return refine.model_copy(update={"names": OWN if probes else ()})


def probe_folder(refine: RefineSettings, run: Run) -> Path | None:
    """The folder of the probe among the refiners, None if it is not among them; by default, the run's own."""
    if not refine.uses(PROBE):
        return None
    return run.path / OWN_PROBE if refine.probe is None else Path(refine.probe)


def unrefined(settings: MaskSettings) -> MaskSettings:
    """Return settings that leave class maps as they are unless refiners are chosen."""
    if settings.refine.names is not None:
        return settings
    return settings.model_copy(update={"refine": settings.refine.model_copy(update={"names": ()})})


def require_all_tagged(samples: Sequence[Sample], split: str) -> None:
    """Check that every image has tags.

    Raises:
        DataError: an image has none.
    """
    untagged = [sample.name for sample in samples if sample.tags is None]
    if untagged:
        raise DataError(
            f"{len(untagged)} of {len(samples)} images of split {split} have no tags, such as {untagged[0]}; "
            "use --tags predicted"
        )


def tagged_samples(run: Run, settings: MaskSettings, learner: str) -> list[Sample]:
    """Return the split's images that ``learner`` can learn from: those with tags, or all if tags are predicted.

    Raises:
        DataError: there are none.
    """
    dataset = open_dataset(run.data, run.settings.data, settings.split)
    samples = [sample for sample in dataset if settings.tags == "predicted" or sample.tags is not None]
    if not samples:
        raise DataError(
            f"no image of split {settings.split} has tags, but {learner} learns from the class maps of tags"
        )
    return samples
