"""Training of a run, and then of its own probe, which masks use by default.

A network trained from scratch gets none: on generated digits and land cover, its features said less than its maps.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tag2mask.data import Dataset, Sample
from tag2mask.probe.settings import ProbeSettings
from tag2mask.probe.train import NothingSureError, train_probe
from tag2mask.training import loop
from tag2mask.training.loop import TrainResult
from tag2mask.training.run import PROBE
from tag2mask.training.settings import TrainSettings
from tag2mask.training.together import is_first
from tag2mask.workflows.stages import announce


def train(data: Path, out: Path, settings: TrainSettings, resume: bool, probe: bool) -> TrainResult:
    """Train a run on a data folder, then its probe if wanted; with ``resume``, continue with whichever was interrupted.

    Raises:
        Tag2MaskError, KeyboardInterrupt: as for ``loop.train`` and ``train_probe``.
    """
    result = loop.train(data, out, settings, resume)
    if probe and gets_probe(settings):
        add_probe(out, settings, None)
    return result


def train_in_memory(
    images: Dataset, validation: Sequence[Sample], out: Path, settings: TrainSettings, resume: bool, probe: bool
) -> TrainResult:
    """``train`` with images in memory."""
    result = loop.train_in_memory(images, validation, out, settings, resume)
    if probe and gets_probe(settings):
        add_probe(out, settings, [sample for sample in images if sample.tags is not None])
    return result


def gets_probe(settings: TrainSettings) -> bool:
    """Whether a run gets a probe by default: unless its network is trained from scratch."""
    return settings.weights != "none"


def add_probe(run: Path, settings: TrainSettings, samples: Sequence[Sample] | None) -> None:
    """Train the run's own probe on its training images; if no patch is sure, say so and leave it out."""
    if not is_first():
        return
    try:
        summary = train_probe(run, None, ProbeSettings.parse({"masks": {"split": settings.split}}), samples)
    except NothingSureError as error:
        shutil.rmtree(run / PROBE)
        announce(f"no probe, so masks are painted from class maps alone: {error}")
    else:
        for text in summary.shown():
            announce(str(text))
