"""The kinds of models that a path can hold."""

from __future__ import annotations

from pathlib import Path

from tag2mask.errors import RunError
from tag2mask.stored import Stored, read_stored

RUN, SEGMENTER, ONNX = "run", "segmenter", "onnx"
CONFIG = "config.yaml"


class Kind(Stored, extra="allow"):
    """The entry of ``config.yaml`` that names the kind; a run has none."""

    kind: str | None = None


def kind_of(path: Path) -> str:
    """Return the kind of ``path``, from its name or its ``config.yaml``: ``RUN``, ``SEGMENTER``, ``ONNX`` or another.

    Raises:
        RunError: it does not exist, or its ``config.yaml`` is missing or damaged.
    """
    if path.suffix == ".onnx" and not path.is_dir():
        return ONNX
    if not (path / CONFIG).is_file():
        raise RunError(
            f"{path} is neither a segmenter nor a run: {CONFIG} is missing; give a folder that tag2mask segment --out "
            "or train --out wrote, or an .onnx file of tag2mask export"
        )
    return read_stored(path / CONFIG, Kind).kind or RUN
