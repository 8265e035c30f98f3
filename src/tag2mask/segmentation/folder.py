"""A segmenter on disk, written by ``segment`` and read by ``predict``.

::

    config.yaml          kind, settings, origin of the labels, data root, normalisation, versions
    classes.json         names of the classes
    model.safetensors    the last epoch's weights: no epoch is selected, neither by truth nor by the learned masks
    metrics.jsonl        one line per epoch
    weights.json         which pretrained weights were loaded
    state.safetensors    state for resuming
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tag2mask.data import Classes, DataSettings
from tag2mask.errors import RunError
from tag2mask.files import file_hash, write_json, write_yaml
from tag2mask.segmentation.build import build_segmenter
from tag2mask.segmentation.kinds import SEGMENTER
from tag2mask.segmentation.model import ARCHITECTURES, Built, Segmenter
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.sources import LabelSource
from tag2mask.stored import Stored, damaged, read_stored
from tag2mask.training.run import (
    CLASSES,
    CONFIG,
    WEIGHTS,
    Header,
    Run,
    RunConfig,
    fill,
    read_folder_header,
    require_weights,
)
from tag2mask.training.start import versions


class LabelOrigin(Stored, extra="allow"):
    """The origin of the labels that a segmenter learned."""

    labels_used: str
    truth_used: str


class SegmenterConfig(RunConfig):
    """The ``config.yaml`` of a segmenter."""

    data_settings: dict[str, Any]
    origin: LabelOrigin


@dataclass(frozen=True)
class SegmenterRun:
    """A finished or unfinished segmenter, opened for reading; ``data_settings`` are those of its run.

    ``data`` is None if it was published without its data set.
    """

    path: Path
    settings: SegmentSettings
    classes: Classes
    data: Path | None
    data_settings: DataSettings
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: dict[str, Any]

    @property
    def crop(self) -> int:
        """Side of crops and windows in pixels."""
        assert self.settings.crop is not None
        return self.settings.crop

    @property
    def side(self) -> int:
        """Short side of images at scale 1, as in training."""
        return self.settings.augment.base_for(self.crop)

    @property
    def labels_used(self) -> str:
        """Return the entry ``labels_used`` for the manifest of predicted masks."""
        return f"none here; the segmenter learned from: {self.origin['labels_used']}"

    def weights_path(self) -> Path:
        """Path of the weights.

        Raises:
            RunError: there are none yet.
        """
        return require_weights(self.path, "segment")

    def checkpoint_hash(self) -> str:
        """SHA-256 of the weights."""
        return file_hash(self.weights_path())

    def load(self, device: torch.device | str = "cpu") -> Segmenter:
        """Load the trained network in evaluation mode.

        Raises:
            RunError: the weights are missing or damaged, or belong to another architecture.
        """
        segmenter = build_segmenter(self.settings, self.data_settings, len(self.classes.pixel_names), "none").segmenter
        fill(segmenter, self.weights_path())
        return segmenter.to(device).eval()


def open_segmenter(path: Path) -> SegmenterRun:
    """Open the folder of a segmenter.

    Raises:
        RunError: it is not a segmenter, or it is damaged.
    """
    header, classes = read_folder_header(path, "a segmenter", "segment", Header)
    if header.kind != SEGMENTER:
        raise RunError(f"{path} is a run of tag2mask train; train a segmenter on its masks with tag2mask segment")
    config = read_stored(path / CONFIG, SegmenterConfig)
    # Segmenters of 0.1 have no such setting.
    settings = SegmentSettings.parse({"decoder": "mask-transformer", **config.settings}, where=str(path / CONFIG))
    data = DataSettings.parse(config.data_settings, where=str(path / CONFIG))
    with damaged(path / CONFIG):
        require_complete(settings)
        mean, std = config.statistics(data.bands)
    own = None if config.data is None else Path(config.data)
    return SegmenterRun(path, settings, classes, own, data, mean, std, config.origin.model_dump())


def require_complete(settings: SegmentSettings) -> None:
    """Check that all settings that depend on the run are set.

    Raises:
        ValueError: one is not.
    """
    encoder = "backbone" if settings.architecture in ARCHITECTURES else "encoder"
    for name in ("crop", encoder):
        if getattr(settings, name) is None:
            raise ValueError(f"'settings.{name}' is missing")


def write_segmenter_header(out: Path, run: Run, source: LabelSource, settings: SegmentSettings, built: Built) -> None:
    """Write all that the folder of a segmenter holds before its first step."""
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / CLASSES, run.classes.to_json())
    write_json(out / WEIGHTS, asdict(built.report))
    write_yaml(
        out / CONFIG,
        {
            "kind": SEGMENTER,
            "settings": settings.model_dump(mode="json"),
            "origin": source.origin,
            "run": run.path.resolve().name,
            "data": str(run.data),
            "data_settings": run.settings.data.model_dump(mode="json"),
            "photographs": len(source.images),
            "mean": list(built.mean),
            "std": list(built.std),
            "versions": versions(),
        },
    )
