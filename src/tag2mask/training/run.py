"""A run on disk: what ``train`` leaves and every later verb reads.

::

    config.yaml          settings, data root, normalisation, versions
    classes.json         names of the classes
    model.safetensors    best weights by validation AP (the last ones without validation photographs)
    metrics.jsonl        one line an epoch
    weights.json         which pretrained weights were loaded
    state.safetensors    to resume
    epochs/007.safetensors ...   the weights of every epoch, if they were to be kept
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from tag2mask.data import Classes
from tag2mask.errors import RunError
from tag2mask.files import file_hash
from tag2mask.methods import Method, build_method
from tag2mask.training.settings import TrainSettings
from tag2mask.training.tensors import put_tensors

CONFIG, CLASSES, MODEL, METRICS, WEIGHTS = (
    "config.yaml",
    "classes.json",
    "model.safetensors",
    "metrics.jsonl",
    "weights.json",
)


def epoch_model(epoch: int) -> str:
    """Where the weights of an epoch, from 1, are kept within a run."""
    return f"epochs/{epoch:03d}.safetensors"


@dataclass(frozen=True)
class Run:
    """A finished or unfinished run, opened for reading."""

    path: Path
    settings: TrainSettings
    classes: Classes
    data: Path
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def metrics(self) -> list[dict[str, Any]]:
        """One row a finished epoch."""
        return read_metrics(self.path)

    def checkpoint_hash(self) -> str:
        """SHA-256 of the weights."""
        return file_hash(self.weights_path())

    def weights_path(self) -> Path:
        """The weights' file.

        Raises:
            RunError: there are none yet.
        """
        return require_weights(self.path, "train")

    def load_method(self, device: torch.device | str = "cpu", changes: Mapping[str, Any] | None = None) -> Method:
        """The trained method in evaluation mode, with ``changes`` of its settings.

        Raises:
            RunError: the weights are missing, damaged, or of another architecture.
            SettingsError: a change is none of the method's settings.
        """
        settings = self.settings
        chosen = {**settings.method_settings, **(changes or {})}
        method, _ = build_method(settings.method, len(self.classes), settings.backbone, chosen, "none")
        fill(method, self.weights_path())
        return method.to(device).eval()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """One row a finished epoch of a run or a segmenter."""
    path = folder / METRICS
    if not path.exists():
        return []
    with damaged(path):
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def require_weights(folder: Path, verb: str) -> Path:
    """The weights' file in what ``verb`` left.

    Raises:
        RunError: there are none yet.
    """
    path = folder / MODEL
    if not path.is_file():
        raise RunError(f"{path} is missing: the first epoch was never finished; go on with tag2mask {verb} --resume")
    return path


def fill(module: nn.Module, path: Path) -> None:
    """Load weights that belong to ``module``, all of them.

    Raises:
        RunError: they are damaged, or of another architecture.
    """
    with damaged(path):
        tensors = load_file(path)
    put_tensors(module, tensors, path)


@contextmanager
def damaged(file: Path) -> Iterator[None]:
    """What goes wrong in reading a file of a run is the file's damage.

    Raises:
        RunError: something did.
    """
    try:
        yield
    except KeyError as error:
        reason = f"{error} is missing"
    except (yaml.YAMLError, SafetensorError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
    else:
        return
    raise RunError(f"{file} is damaged ({reason}); put back a whole copy, or make {file.parent} again")


@contextmanager
def read_header(path: Path, what: str, verb: str) -> Iterator[tuple[dict[str, Any], Classes]]:
    """The content of ``config.yaml`` and the classes in a folder that ``verb`` wrote; whoever reads on does it inside.

    Raises:
        RunError: the folder is none, or is damaged.
    """
    for name in (CONFIG, CLASSES):
        if not (path / name).is_file():
            raise RunError(f"{path} is not {what}: {name} is missing; give the folder that tag2mask {verb} --out wrote")
    with damaged(path / CLASSES):
        classes = Classes.from_json(json.loads((path / CLASSES).read_text(encoding="utf-8")))
    with damaged(path / CONFIG):
        config = yaml.safe_load((path / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise TypeError("it holds no settings")
        yield config, classes


def open_run(path: Path) -> Run:
    """A run folder.

    Raises:
        RunError: it is none, or is damaged.
    """
    with read_header(path, "a run", "train") as (config, classes):
        if "kind" in config:
            raise RunError(f"{path} is a {config['kind']}, no run of tag2mask train; it is for tag2mask predict")
        return Run(
            path,
            TrainSettings.parse(config["settings"], where=str(path / CONFIG)),
            classes,
            Path(config["data"]),
            tuple(config["mean"]),
            tuple(config["std"]),
        )
