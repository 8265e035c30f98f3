"""Tensor files, written atomically."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tag2mask.errors import RunError
from tag2mask.files import in_one_move, sync_one
from tag2mask.stored import damaged


def inference_device() -> torch.device:
    """Return the device for everything but training: the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file atomically.

    Raises:
        OSError: it cannot be written.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with in_one_move(path) as beside:
        beside.touch()
        mode = beside.stat().st_mode  # follows the user's umask; safetensors writes files that only the owner can read
        try:
            save_file(whole, beside, metadata=dict(metadata))
        except SafetensorError as error:
            raise as_os_error(error, path) from None
        beside.chmod(mode)
        sync_one(beside)
    sync_one(path.parent)


def as_os_error(error: SafetensorError, path: Path) -> OSError:
    """Return the system's error behind a safetensors error, such as a full disk."""
    found = re.search(r"os error (\d+)", str(error))
    return OSError(str(error)) if found is None else OSError(int(found[1]), os.strerror(int(found[1])), str(path))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors of a safetensors file, and its metadata.

    Raises:
        ValueError: it is not a safetensors file.
        OSError: it cannot be read.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, RuntimeError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        raise ValueError(str(error) or type(error).__name__) from None  # the header can hold anything


def require_finite(tensors: Mapping[str, Tensor]) -> None:
    """Check that all values are finite.

    Raises:
        ValueError: a tensor holds infinity or NaN.
    """
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} holds values that are not finite")


def put_tensors(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load the tensors read from ``path`` into ``module``; names, shapes and dtypes must match exactly.

    Raises:
        RunError: they belong to another model, or are damaged.
    """
    here = {name: describe_tensor(tensor) for name, tensor in module.state_dict().items()}
    there = {name: describe_tensor(tensor) for name, tensor in tensors.items()}
    other = sorted(name for name in here.keys() | there.keys() if here.get(name) != there.get(name))
    if other:
        name = other[0]
        raise RunError(
            f"{path} does not fit the model: {len(other)} of {len(here)} tensors differ, {name} first "
            f"({there.get(name, 'missing')} in the file, {here.get(name, 'missing')} in the model); restore the file "
            "of this training, or use the settings it was trained with"
        )
    with damaged(path):
        require_finite(tensors)
    module.load_state_dict(dict(tensors))


def describe_tensor(tensor: Tensor) -> str:
    """Return a tensor's shape and dtype as text."""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
