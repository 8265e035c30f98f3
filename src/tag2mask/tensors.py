"""Tensors in a file that is either whole or not there."""

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


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """A safetensors file.

    Raises:
        OSError: it cannot be written.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with in_one_move(path) as beside:
        beside.touch()
        mode = beside.stat().st_mode  # as the user's umask says; safetensors writes for the owner alone
        try:
            save_file(whole, beside, metadata=dict(metadata))
        except SafetensorError as error:
            raise as_os_error(error, path) from None
        beside.chmod(mode)
        sync_one(beside)
    sync_one(path.parent)


def as_os_error(error: SafetensorError, path: Path) -> OSError:
    """What the system said when safetensors could not write, such as that the disk is full."""
    found = re.search(r"os error (\d+)", str(error))
    return OSError(str(error)) if found is None else OSError(int(found[1]), os.strerror(int(found[1])), str(path))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file, and what is said beside them.

    Raises:
        ValueError: it is none.
        OSError: it cannot be read.
    """
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, RuntimeError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        raise ValueError(str(error) or type(error).__name__) from None  # its header can say anything


def require_finite(tensors: Mapping[str, Tensor]) -> None:
    """Every number is one.

    Raises:
        ValueError: a tensor holds infinity or what is no number.
    """
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} holds what is no finite number")


def put_tensors(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Fill ``module`` with all tensors of ``path``, which are just its own.

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
            f"({there.get(name, 'missing')} in the file, {here.get(name, 'missing')} in the model); put back the file "
            "of this training, or keep the settings it was trained with"
        )
    with damaged(path):
        require_finite(tensors)
    module.load_state_dict(dict(tensors))


def describe_tensor(tensor: Tensor) -> str:
    """Shape and kind of number."""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
