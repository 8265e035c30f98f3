"""Training of a run, and then of its own probe, which masks use by default.

A network trained from scratch gets none: on generated digits and land cover, its features said less than its maps.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tag2mask.data import Dataset, Sample
from tag2mask.probe import probe as layout
from tag2mask.probe.probe import run_of
from tag2mask.probe.settings import ProbeSettings
from tag2mask.probe.train import NothingSureError, ProbeSummary, train_probe
from tag2mask.training import loop
from tag2mask.training.loop import TrainResult
from tag2mask.training.run import open_run
from tag2mask.training.settings import TrainSettings
from tag2mask.training.together import first
from tag2mask.workflows.stages import announce


def train(data: Path, out: Path, settings: TrainSettings, resume: bool, probe: bool) -> TrainResult:
    """Train a run on a data folder, then its probe if wanted; with ``resume``, continue with whichever was interrupted.

    Raises:
        Tag2MaskError, KeyboardInterrupt: as for ``loop.train`` and ``train_probe``.
    """
    result = loop.train(data, out, settings, resume)
    if probe and gets_probe(settings):
        follow(out, settings)
    return result


def train_in_memory(
    images: Dataset, validation: Sequence[Sample], out: Path, settings: TrainSettings, resume: bool, probe: bool
) -> TrainResult:
    """``train`` with images in memory."""
    result = loop.train_in_memory(images, validation, out, settings, resume)
    if probe and gets_probe(settings):
        follow(out, settings, [sample for sample in images if sample.tags is not None])
    return result


def gets_probe(settings: TrainSettings) -> bool:
    """Whether a run gets a probe by default: unless its network is trained from scratch."""
    return settings.weights != "none"


def follow(run: Path, settings: TrainSettings, samples: Sequence[Sample] | None = None) -> None:
    """Train the probe of a run that was just trained, and print what it found.

    A finished probe of these weights is kept, one of earlier weights is replaced.
    """
    if not first():
        return
    opened = open_run(run)
    before = opened.own_probe
    if before is not None and run_of(before).sha256 != opened.checkpoint_hash():
        shutil.rmtree(before)
    elif before is not None and (before / layout.WEIGHTS).is_file():
        return
    summary = add_probe(run, ProbeSettings.parse({"masks": {"split": settings.split}}), samples)
    for text in [] if summary is None else summary.shown():
        announce(str(text))


def add_probe(run: Path, settings: ProbeSettings, samples: Sequence[Sample] | None = None) -> ProbeSummary | None:
    """Train the run's own probe; if no patch is sure, say so and leave it out."""
    try:
        return train_probe(run, None, settings, samples)
    except NothingSureError as error:
        announce(f"no probe, so masks are painted from class maps alone: {error}")
        return None
