"""The kinds of models that a path can hold."""

from __future__ import annotations

from pathlib import Path

from tag2mask.errors import RunError
from tag2mask.settings import read_yaml

RUN, SEGMENTER, ONNX = "run", "segmenter", "onnx"
CONFIG = "config.yaml"


def kind_of(path: Path) -> str:
    """Return the kind of ``path``, from its name or its ``config.yaml``: ``RUN``, ``SEGMENTER``, ``ONNX`` or another.

    Raises:
        RunError: it does not exist, or has no ``config.yaml``.
    """
    if path.suffix == ".onnx" and not path.is_dir():
        return ONNX
    if not (path / CONFIG).is_file():
        raise RunError(
            f"{path} is neither a segmenter nor a run: {CONFIG} is missing; give a folder that tag2mask segment --out "
            "or train --out wrote, or an .onnx file of tag2mask export"
        )
    return str(read_yaml(path / CONFIG).get("kind", RUN))
