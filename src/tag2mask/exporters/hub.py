"""Export of a run or a segmenter as a folder in the layout of the Hugging Face hub, with a model card.

::

    README.md            the card: YAML for the hub, then use, classes, scores, data, backbone, licence, settings
    config.yaml          as in the run or segmenter, without places on this machine
    classes.json         names of the classes
    model.safetensors    the weights, unchanged
    metrics.jsonl        one line per epoch
    weights.json         which pretrained weights were loaded
    probe/               a run's own probe, if it has one

``tag2mask.load`` opens it like a run or a segmenter.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any

from tag2mask.errors import RunError
from tag2mask.exporters.card import CARD, write_card
from tag2mask.files import in_one_move, require_new, reserved, write_yaml
from tag2mask.probe import probe as probing
from tag2mask.probe.probe import open_probe
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.kinds import CONFIG, RUN, SEGMENTER, kind_of
from tag2mask.shown import Shown
from tag2mask.stored import damaged, read_plain
from tag2mask.training.run import CLASSES, METRICS, MODEL, OWN_PROBE, WEIGHTS, open_run

SHARED = (CLASSES, MODEL, METRICS, WEIGHTS)


@dataclass(frozen=True)
class HubSummary:
    """The folder and the number of mask sets whose scores are in the card."""

    path: Path
    scored: int

    def to_json(self) -> dict[str, Any]:
        """Return the result for ``--json``."""
        return {"path": str(self.path), "scored": self.scored}

    def shown(self) -> Shown:
        """Return the result for printing."""
        return [
            f"{self.path}: choose a licence in its {CARD}, then upload it: hf upload OWNER/NAME {self.path}",
            f"scores in the card: {self.scored} (of mask sets that these weights painted, where the data has truth)",
        ]


def load_run(path: Path) -> None:
    """Check that a run's weights are whole."""
    open_run(path).load_method()


def load_segmenter(path: Path) -> None:
    """Check that a segmenter's weights are whole."""
    open_segmenter(path).load()


LOADED: Mapping[str, Callable[[Path], None]] = MappingProxyType({RUN: load_run, SEGMENTER: load_segmenter})


def export_hub(folder: Path, out: Path) -> HubSummary:
    """Write the folder ``out``; its config names no place on this machine.

    Raises:
        RunError: ``folder`` is neither a run nor a segmenter, or is damaged, or ``out`` already exists.
        MaskSetError, DataError: a mask set that these weights painted is damaged, or its truth does not fit.
    """
    require_new(out)
    kind = kind_of(folder)
    if kind not in LOADED:
        raise RunError(f"{folder} is a {kind}; export takes a tagged run or a segmenter")
    LOADED[kind](folder)
    with damaged(folder / CONFIG):
        config = without_places(read_plain(folder / CONFIG)) | {"data": None}
    with reserved(out), in_one_move(out) as beside:
        require_new(out)
        beside.mkdir()
        write_yaml(beside / CONFIG, config)
        for name in SHARED:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, beside / name)
        probe = open_run(folder).own_probe if kind == RUN else None
        if probe is not None:
            copy_probe(probe, beside / OWN_PROBE)
        scored = write_card(folder, kind, config, out.resolve().name, beside / CARD)
    return HubSummary(out, scored)


def copy_probe(probe: Path, out: Path) -> None:
    """Copy a probe without the places on this machine."""
    open_probe(probe)
    out.mkdir()
    with damaged(probe / probing.CONFIG):
        write_yaml(out / probing.CONFIG, without_places(read_plain(probe / probing.CONFIG)) | {"data": None})
    shutil.copyfile(probe / probing.WEIGHTS, out / probing.WEIGHTS)


def without_places(content: Any) -> Any:
    """Return content with every absolute path reduced to its last part."""
    if isinstance(content, dict):
        return {key: without_places(value) for key, value in content.items()}
    if isinstance(content, list):
        return [without_places(value) for value in content]
    if isinstance(content, str):
        for kind in (PurePosixPath, PureWindowsPath):
            if kind(content).is_absolute():
                return kind(content).name
    return content
