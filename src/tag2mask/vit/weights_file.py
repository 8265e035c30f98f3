"""Reading state dicts from safetensors files and from .pth files, which are read without executing their code.

A pickle is a program. ``torch.load(weights_only=True)`` runs only the parts that create tensors and plain containers,
and rejects a file that calls anything else. Training scripts often save other objects next to the weights: arguments,
best scores, paths. For these types only, ``StandIn`` is called in their place.
"""

from __future__ import annotations

import pickle
import re
import warnings
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
FOREIGN = re.compile(r"GLOBAL (\w[\w.]{0,99})")  # in torch's message about what it rejected


def read_state(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Read tensors and metadata of a file; code in pickles is not executed.

    Raises:
        WeightsError: the file does not exist or does not hold a state dict.
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
    except Exception as error:  # readers raise anything on foreign bytes; torch's message advises unsafe loading
        raise WeightsError(
            f"weights file {path} cannot be read: it is damaged, or neither a .safetensors file nor a .pth file with "
            "a state dict of plain tensors"
        ) from error
    for key in ("state_dict", "model"):
        content = content.get(key, content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"weights file {path} holds no state dict, that is, no named tensors")
    for key, value in content.items():
        if reason := unusual(key, value):
            raise WeightsError(f"weights file {path}: {key!r} {reason}; the file must hold plain, named tensors")
    return dict(content), metadata


def unusual(key: object, tensor: Tensor) -> str | None:
    """Return why a tensor cannot be loaded into a ViT; None if it can be."""
    if not isinstance(key, str) or not key:
        return "is not a name"
    if tensor.layout != torch.strided or tensor.is_nested:
        return "is sparse or nested"
    if tensor.is_meta:
        return "is a meta tensor, which has a shape but no values"
    if tensor.dtype not in NUMBERS:
        return f"is quantised or complex ({tensor.dtype})"
    return None


def require_numbers(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Check that all values to be loaded from a file are finite.

    Raises:
        WeightsError: one is not.
    """
    try:
        require_finite(tensors)
    except ValueError as error:
        raise WeightsError(f"weights file {path} is damaged: {error}; get an intact copy") from None


class StandIn:
    """Replaces an object saved next to the weights, and discards its content."""

    def __init__(self, *parts: object) -> None:
        """Discard the arguments."""

    def __setstate__(self, state: object) -> None:
        """Discard the state: otherwise torch would set attributes from the file."""


def load_plain(path: Path) -> Any:
    """Load a .pth file: tensors, plain containers, and a stand-in for each object of a type in ``BESIDE``.

    Raises:
        WeightsError: the file wants to call something else, which was not executed.
        Exception: of any type, if it is not such a file.
    """
    with torch.serialization.safe_globals([(StandIn, name) for name in BESIDE]):
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)  # others are read as well
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            found = FOREIGN.search(str(error))
            if found is None:
                raise
            raise WeightsError(
                f"weights file {path} cannot be read: it wants to call {found[1]}, which no tensor needs; nothing was "
                "executed; get the file from its authors, or only its tensors as FILE.safetensors"
            ) from None
