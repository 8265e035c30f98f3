"""Mask set settings that depend on the run."""

from __future__ import annotations

from collections.abc import Sequence

from tag2mask.data import Sample, open_dataset
from tag2mask.errors import DataError, SettingsError
from tag2mask.masks.brush import resolve_paint
from tag2mask.masks.settings import MaskSettings
from tag2mask.refine.chain import require_refiners
from tag2mask.refine.dense_crf import require_engine
from tag2mask.refine.settings import PROBE, SEGMENTER, WALK
from tag2mask.training.run import Run


def resolve_masks(settings: MaskSettings, run: Run) -> MaskSettings:
    """Complete the settings that depend on the run.

    Raises:
        SettingsError: a refiner is unknown or out of order, or its extra or its folder is missing; or a threshold is
            set for a class that the run does not have.
    """
    require_refiners(settings.refine.names)
    require_engine(settings.refine.crf_engine)
    for name, folder, verb in (
        (PROBE, settings.refine.probe, "train-probe"),
        (WALK, settings.refine.walk, "refine-train"),
        (SEGMENTER, settings.refine.segmenter, "segment"),
    ):
        if (name in settings.refine.names) != (folder is not None):
            raise SettingsError(
                f"--refine {name} and --{name} {name.upper()} must be given together: {name.upper()} is the folder "
                f"that tag2mask {verb} wrote"
            )
    for name in (PROBE, SEGMENTER):
        if name in settings.refine.names and settings.paint.rule != "argmax":
            raise SettingsError(
                f"--refine {name} gives probabilities, which need no thresholds: leave out rule=ordered"
            )
    paint = resolve_paint(settings.paint, run.classes, run.tag_threshold(), str(run.path))
    return settings.model_copy(update={"paint": paint})


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
