"""The state of a run in one file, written in one move: killed at any moment, the last whole one is there.

Randomness needs no saving: every batch seeds torch's generator from its place in the run, every sample from (seed,
epoch, index).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tag2mask.errors import RunError
from tag2mask.files import settle
from tag2mask.training.tensors import put_tensors, write_tensors

STATE = "state.safetensors"
MODEL = "model."
OPTIMISER = "optimiser."


@dataclass
class Progress:
    """Where a run stands: ``step`` optimiser steps are done in all, ``batch`` batches of epoch ``epoch``.

    ``sums`` are the epoch's loss terms so far, ``counts`` what else its steps counted, ``rows`` the metrics of finished
    epochs.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_ap: float | None = None
    best_epoch: int | None = None
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


def save_state(run: Path, model: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Write model, optimiser and progress."""
    tensors: dict[str, Tensor] = {MODEL + name: tensor for name, tensor in model.state_dict().items()}
    for index, slots in optimiser.state_dict()["state"].items():
        for slot, value in slots.items():
            tensors[f"{OPTIMISER}{index}.{slot}"] = torch.as_tensor(value)
    write_tensors(run / STATE, tensors, {"progress": json.dumps(asdict(progress))})
    settle(run)  # before a failure that would delete what was begun


def load_state(run: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> Progress:
    """Read back what ``save_state`` wrote.

    Raises:
        RunError: there is no state, or it is damaged or of another model.
    """
    path = run / STATE
    if not path.is_file():
        raise RunError(f"{path} is missing: nothing to resume; train without --resume into an empty folder")
    try:
        with safe_open(path, "pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error}); start again in an empty folder") from None
    own = {name.removeprefix(MODEL): tensor for name, tensor in tensors.items() if name.startswith(MODEL)}
    put_tensors(model, own, path)
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(OPTIMISER):
            index, slot = name.removeprefix(OPTIMISER).split(".")
            slots.setdefault(int(index), {})[slot] = tensor
    optimiser.load_state_dict({**optimiser.state_dict(), "state": slots})
    return progress


def can_resume(run: Path) -> bool:
    """Whether there is a state to go on from."""
    return (run / STATE).is_file()
