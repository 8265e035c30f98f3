"""A segmenter on disk: what ``segment`` leaves and ``predict`` reads.

::

    config.yaml          kind, settings, whose labels it learned, data root, normalisation, versions
    classes.json         names of the classes
    model.safetensors    the last epoch's weights: nothing is chosen, neither by truth nor by the masks learned from
    metrics.jsonl        one line an epoch
    weights.json         which pretrained weights were loaded
    state.safetensors    to resume
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file

from tag2mask.data import Classes, DataSettings
from tag2mask.errors import RunError
from tag2mask.segmentation.kinds import SEGMENTER
from tag2mask.segmentation.model import Segmenter, build_segmenter
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.sources import LabelSource
from tag2mask.training.files import file_hash, write_json, write_yaml
from tag2mask.training.run import CLASSES, CONFIG, WEIGHTS, Run, require_weights
from tag2mask.training.start import versions
from tag2mask.vit.weights import WeightsReport, normalisation


@dataclass(frozen=True)
class SegmenterRun:
    """A finished or unfinished segmenter, opened for reading; ``data_settings`` are those of the run it came from."""

    path: Path
    settings: SegmentSettings
    classes: Classes
    data: Path
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
        """Short side of photographs at scale 1, as in training."""
        return self.settings.augment.base_for(self.crop)

    @property
    def labels_used(self) -> str:
        """What a manifest says of masks that it predicted."""
        return f"none here; the segmenter learned from: {self.origin['labels_used']}"

    def weights_path(self) -> Path:
        """The weights' file.

        Raises:
            RunError: there are none yet.
        """
        return require_weights(self.path, "segment")

    def checkpoint_hash(self) -> str:
        """SHA-256 of the weights."""
        return file_hash(self.weights_path())

    def load(self, device: torch.device | str = "cpu") -> Segmenter:
        """The trained network in evaluation mode.

        Raises:
            RunError: the weights are missing, damaged, or of another architecture.
        """
        assert self.settings.backbone is not None
        segmenter, _ = build_segmenter(
            self.settings.architecture, self.settings.backbone, len(self.classes.pixel_names), "none"
        )
        path = self.weights_path()
        try:
            segmenter.load_state_dict(load_file(path), strict=True)
        except (SafetensorError, RuntimeError, OSError) as error:
            raise RunError(f"{path} cannot be loaded: {' '.join(str(error).split())[:200]}") from None
        return segmenter.to(device).eval()


def open_segmenter(path: Path) -> SegmenterRun:
    """A segmenter's folder.

    Raises:
        RunError: it is none, or is damaged.
    """
    for name in (CONFIG, CLASSES):
        if not (path / name).is_file():
            raise RunError(
                f"{path} is not a segmenter: {name} is missing; give the folder that tag2mask segment --out wrote"
            )
    try:
        config = yaml.safe_load((path / CONFIG).read_text(encoding="utf-8"))
        if config.get("kind") != SEGMENTER:
            raise RunError(f"{path} is a run of tag2mask train; train a segmenter on its masks with tag2mask segment")
        return SegmenterRun(
            path,
            SegmentSettings.parse(config["settings"], where=str(path / CONFIG)),
            Classes.from_json(json.loads((path / CLASSES).read_text(encoding="utf-8"))),
            Path(config["data"]),
            DataSettings.parse(config["data_settings"], where=str(path / CONFIG)),
            tuple(config["mean"]),
            tuple(config["std"]),
            config["origin"],
        )
    except (yaml.YAMLError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {' '.join(str(error).split())}") from None


def write_segmenter_header(
    out: Path, run: Run, source: LabelSource, settings: SegmentSettings, report: WeightsReport
) -> None:
    """Everything a segmenter's folder holds before its first step."""
    assert settings.backbone is not None
    mean, std = normalisation(settings.backbone)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / CLASSES, run.classes.to_json())
    write_json(out / WEIGHTS, asdict(report))
    write_yaml(
        out / CONFIG,
        {
            "kind": SEGMENTER,
            "settings": settings.model_dump(mode="json"),
            "origin": source.origin,
            "run": run.path.resolve().name,
            "data": str(run.data),
            "data_settings": run.settings.data.model_dump(mode="json"),
            "photographs": len(source.photographs),
            "mean": list(mean),
            "std": list(std),
            "versions": versions(),
        },
    )
