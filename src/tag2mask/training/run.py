"""A run on disk, written by ``train`` or ``import`` and read by all later commands.

::

    config.yaml          settings, data root, normalisation, versions
    classes.json         names of the classes
    model.safetensors    best weights by validation AP (the last weights if there are no validation images)
    metrics.jsonl        one line per epoch
    weights.json         which weights were loaded
    state.safetensors    state for resuming
    epochs/007.safetensors ...   the weights of epochs, with ``keep_epochs``
    probe/               the run's own probe (``probe/probe.py``), unless it was left out
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
from pydantic import Field
from torch import nn

from tag2mask.data import Classes
from tag2mask.errors import RunError
from tag2mask.files import file_hash
from tag2mask.methods import Method, build_method
from tag2mask.methods.earlier import method_of_run
from tag2mask.stored import Count, Measured, Number, Place, Stored, damaged, read_plain, read_rows, read_stored
from tag2mask.tensors import put_tensors, read_tensors
from tag2mask.training.scores import EVEN
from tag2mask.training.settings import TrainSettings
from tag2mask.vit.weights import WeightsReport

CONFIG, CLASSES, MODEL, METRICS, WEIGHTS = (
    "config.yaml",
    "classes.json",
    "model.safetensors",
    "metrics.jsonl",
    "weights.json",
)
OWN_PROBE = "probe"


T = TypeVar("T")


class Header(Stored):
    """The kind in ``config.yaml``; only a segmenter's has one."""

    kind: str | None = None


class Imported(Stored):
    """The file that weights were imported from, and how pixel labels influenced them."""

    file: str
    sha256: str
    truth_used: str


class RunConfig(Stored):
    """The ``config.yaml`` of a run; ``data`` is null without a data folder: imported, published, in memory."""

    settings: dict[str, Any]
    data: Place | None
    mean: list[Number]
    std: list[Annotated[Number, Field(gt=0)]]
    imported: Imported | None = None

    def statistics(self, bands: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of every band.

        Raises:
            ValueError: their number differs from the number of bands.
        """
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != bands:
                raise ValueError(f"{name} has {len(values)} values for {bands} bands")
        return tuple(self.mean), tuple(self.std)


class MetricsRow(Stored, extra="allow"):
    """A line of ``metrics.jsonl``, of a run or of a segmenter."""

    epoch: Count
    loss: Annotated[dict[str, Measured], Field(min_length=1)]
    seconds: Measured = 0.0
    val_ap: Measured = 0.0
    val_f1: Measured = 0.0
    val_tag_threshold: Annotated[Number, Field(gt=0, lt=1)] = EVEN
    val_ap_per_class: list[Measured | None] = Field(default_factory=list)
    open_heads: list[Count] | None = None
    kept: Measured = 0.0
    precision: Measured = 0.0
    kept_precision: Measured = 0.0


def epoch_model(epoch: int) -> str:
    """Path of an epoch's weights within a run; epochs count from 1."""
    return f"epochs/{epoch:03d}.safetensors"


@dataclass(frozen=True)
class Run:
    """A finished or unfinished run, opened for reading; ``own_data`` is None if it has no data folder."""

    path: Path
    settings: TrainSettings
    classes: Classes
    own_data: Path | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    imported: Imported | None

    @property
    def data(self) -> Path:
        """The data set it was trained on.

        Raises:
            RunError: it was imported, or trained on images in memory, or the data set is no longer there.
        """
        if self.own_data is None:
            how = "learned from images in memory or was published" if self.imported is None else "was imported"
            raise RunError(
                f"{self.path} {how} and has no data set of its own; name one with --data if the command has that "
                f"option, or replace data: null with data: FOLDER in {self.path / CONFIG}"
            )
        if not self.own_data.exists():
            raise RunError(
                f"{self.own_data}, the data set of {self.path}, is no longer there; name its new place with --data if "
                f"the command has that option, or as data: FOLDER in {self.path / CONFIG}"
            )
        return self.own_data

    @property
    def truth_used(self) -> str:
        """How pixel labels influenced the weights: ``none`` if they were trained here."""
        return "none" if self.imported is None else self.imported.truth_used

    @property
    def own_probe(self) -> Path | None:
        """The folder of the run's own probe, finished or not; None if there is none."""
        path = self.path / OWN_PROBE
        return path if (path / CONFIG).is_file() else None

    def metrics(self) -> list[dict[str, Any]]:
        """Return one row per finished epoch.

        Raises:
            RunError: the rows are damaged, or belong to other classes.
        """
        rows = read_metrics(self.path)
        with damaged(self.path / METRICS):
            for number, row in enumerate(rows, start=1):
                found = len(row.get("val_ap_per_class", self.classes.names))
                if found != len(self.classes):
                    raise ValueError(f"line {number} has the AP of {found} classes, the run has {len(self.classes)}")
        return rows

    def tag_threshold(self) -> float:
        """Probability above which an image has a tag, chosen by F1 on validation tags with the kept weights; else 0.5.

        Raises:
            RunError: the rows of metrics are damaged.
        """
        return float(kept_row(read_metrics(self.path)).get("val_tag_threshold", EVEN))

    def checkpoint_hash(self) -> str:
        """SHA-256 of the weights."""
        return file_hash(self.weights_path())

    def weights_path(self) -> Path:
        """Path of the weights.

        Raises:
            RunError: there are none yet.
        """
        return require_weights(self.path, "train")

    def load_method(self, device: torch.device | str = "cpu", changes: Mapping[str, Any] | None = None) -> Method:
        """Load the trained method in evaluation mode, with ``changes`` to its settings.

        Raises:
            RunError: the weights are missing or damaged, or belong to another architecture.
            SettingsError: the method has no such setting.
        """
        settings = self.settings
        chosen = {**settings.method_settings, **(changes or {})}
        method, _ = build_method(settings.method, self.classes, settings.backbone, chosen, "none")
        if method.teacher is not None and not method.teacher.saved:
            method.teacher = None  # only training needs it
        fill(method, self.weights_path())
        return method.to(device).eval()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return one row per finished epoch of a run or a segmenter.

    Raises:
        RunError: the rows are damaged.
    """
    path = folder / METRICS
    if not path.exists():
        return []
    rows = read_rows(path, MetricsRow)
    with damaged(path):
        for number, row in enumerate(rows, start=1):
            if row.loss.keys() != rows[0].loss.keys():
                raise ValueError(f"line {number} has other losses than line 1")
    return [row.model_dump(exclude_unset=True) for row in rows]


def started_from(folder: Path) -> str:
    """Where the training of a run or a segmenter started, in words; "unknown" if its ``weights.json`` is missing.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / WEIGHTS
    return read_stored(path, WeightsReport).source if path.is_file() else "unknown"


def kept_row(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The row of the epoch whose weights were kept: the best by validation AP, of equal ones the later.

    It is empty if no epoch was validated.
    """
    validated = [row for row in rows if row.get("val_ap") is not None]
    return max(reversed(validated), key=lambda row: row["val_ap"], default={})


def require_weights(folder: Path, verb: str) -> Path:
    """Path of the weights in a folder that ``verb`` wrote.

    Raises:
        RunError: there are none yet.
    """
    path = folder / MODEL
    if not path.is_file():
        raise RunError(f"{path} is missing: the first epoch was never finished; continue with tag2mask {verb} --resume")
    return path


def fill(module: nn.Module, path: Path) -> None:
    """Load all weights of ``module`` from a file.

    Raises:
        RunError: they are damaged, or belong to another architecture.
    """
    with damaged(path):
        tensors, _ = read_tensors(path)
    put_tensors(module, tensors, path)


def require_parts(path: Path, names: Sequence[str], what: str, verb: str) -> None:
    """Check that a folder holds the files ``names``, without which it is not ``what``, written by ``verb``.

    Raises:
        RunError: one is missing.
    """
    for name in names:
        if not (path / name).is_file():
            raise RunError(f"{path} is not {what}: {name} is missing; give the folder that tag2mask {verb} --out wrote")


def read_folder_header(path: Path, what: str, verb: str, kind: type[T]) -> tuple[T, Classes]:
    """Read ``config.yaml`` as ``kind``, and the classes, from a folder that ``verb`` wrote.

    Raises:
        RunError: it is not such a folder, or it is damaged.
    """
    require_parts(path, (CONFIG, CLASSES), what, verb)
    with damaged(path / CLASSES):
        classes = Classes.from_json(read_plain(path / CLASSES))
    return read_stored(path / CONFIG, kind), classes


def open_run(path: Path) -> Run:
    """Open a run folder.

    Raises:
        RunError: it is not a run, or it is damaged.
        SettingsError: it has unknown settings, or this version no longer supports the form of its method.
    """
    header, classes = read_folder_header(path, "a run", "train", Header)
    if header.kind is not None:
        raise RunError(f"{path} is a {header.kind}, not a run of tag2mask train; use it with tag2mask predict")
    config = read_stored(path / CONFIG, RunConfig)
    settings = TrainSettings.parse(config.settings, where=str(path / CONFIG))
    method, chosen = method_of_run(settings.method, settings.method_settings, str(path / CONFIG))
    settings = settings.model_copy(update={"method": method, "method_settings": chosen})
    with damaged(path / CONFIG):
        mean, std = config.statistics(settings.backbone.bands)
    own_data = None if config.data is None else Path(config.data)
    return Run(path, settings, classes, own_data, mean, std, config.imported)
