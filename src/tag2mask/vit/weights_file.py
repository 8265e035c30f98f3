"""State dicts in files: safetensors, or a .pth file, which is read without executing it.

A pickle is a program. ``torch.load(weights_only=True)`` runs only the part that makes tensors and plain containers, and
refuses a file that names anything else to be called. Training scripts save such things beside the weights: their
arguments, best scores, paths. For these, and for nothing more, ``StandIn`` is called in their place.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tag2mask.errors import WeightsError
from tag2mask.tensors import read_tensors, require_finite

FRACTIONS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
NUMBERS = (*FRACTIONS, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)
BESIDE = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
)
FOREIGN = re.compile(r"GLOBAL (\w[\w.]{0,99})")  # in torch's words about what it refused


def read_state(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Tensors and metadata of a file; pickles are read as plain tensors, nothing in them is executed.

    Raises:
        WeightsError: there is no such file, or it holds something else than a state dict.
    """
    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist")
    content: Any
    metadata: Mapping[str, str] = {}
    try:
        if path.suffix == ".safetensors":
            content, metadata = read_tensors(path)
        else:
            content = load_plain(path)
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"weights file {path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # its readers raise anything on foreign bytes; torch's words advise to load pickles
        raise WeightsError(
            f"weights file {path} cannot be read: it is damaged, or neither FILE.safetensors nor a state dict of "
            "plain tensors in FILE.pth"
        ) from error
    for key in ("state_dict", "model"):
        content = content.get(key, content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"weights file {path} holds no state dict: tensors by name are wanted")
    for key, value in content.items():
        if reason := unusual(key, value):
            raise WeightsError(f"weights file {path}: {key!r} {reason}; plain tensors by name are wanted")
    return dict(content), metadata


def unusual(key: object, tensor: Tensor) -> str | None:
    """What makes a tensor none that a ViT can be filled with, if anything does."""
    if not isinstance(key, str) or not key:
        return "is no name"
    if tensor.layout != torch.strided or tensor.is_nested:
        return "is sparse or nested"
    if tensor.is_meta:
        return "is a meta tensor, which has a shape and no values"
    if tensor.dtype not in NUMBERS:
        return f"is quantised or complex ({tensor.dtype})"
    return None


def require_numbers(tensors: Mapping[str, Tensor], path: Path) -> None:
    """What a model is filled with from a file are finite numbers.

    Raises:
        WeightsError: one is not.
    """
    try:
        require_finite(tensors)
    except ValueError as error:
        raise WeightsError(f"weights file {path} is damaged: {error}; take a whole copy of it") from None


class StandIn:
    """Takes the place of an object that lies beside the weights. It keeps nothing that the file says of it."""

    def __init__(self, *parts: object) -> None:
        """Forget the parts."""

    def __setstate__(self, state: object) -> None:
        """Forget the state: torch would otherwise set attributes as the file says."""


def load_plain(path: Path) -> Any:
    """The content of a .pth file: tensors, plain containers, and a stand-in for each object of ``BESIDE``.

    Raises:
        WeightsError: the file names something else to be called; none of it was.
        Exception: any, if the bytes are no such file.
    """
    with torch.serialization.safe_globals([(StandIn, name) for name in BESIDE]):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            found = FOREIGN.search(str(error))
            if found is None:
                raise
            raise WeightsError(
                f"weights file {path} cannot be read: it asks to call {found[1]}, which no tensor needs; nothing of "
                "it was executed; get the file from its authors, or their tensors alone as FILE.safetensors"
            ) from None
