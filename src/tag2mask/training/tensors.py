"""Tensors in a file that is either whole or not there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """A safetensors file."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    beside.touch()
    mode = beside.stat().st_mode  # as the user's umask says; safetensors writes for the owner alone
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(whole, beside, metadata=dict(metadata))
    beside.chmod(mode)
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    beside.replace(path)
