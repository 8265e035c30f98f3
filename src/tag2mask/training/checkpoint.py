"""The state of a run in one file, replaced atomically: if a run is killed, the last complete state remains.

Random states are not saved: every batch seeds torch's generator from its place in the run, every sample from (seed,
epoch, index).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tag2mask.errors import RunError
from tag2mask.files import settle
from tag2mask.notation import from_json
from tag2mask.stored import damaged, validate
from tag2mask.tensors import describe_tensor, put_tensors, read_tensors, require_finite, write_tensors
from tag2mask.training.run import MetricsRow

STATE = "state.safetensors"
MODEL = "model."
OPTIMISER = "optimiser."
SLOTS: Mapping[type[torch.optim.Optimizer], tuple[str, ...]] = {
    torch.optim.AdamW: ("step", "exp_avg", "exp_avg_sq"),
    torch.optim.SGD: ("momentum_buffer",),
}


@dataclass
class LoopState:
    """Progress of a run: ``step`` optimiser steps in total, of which epoch ``epoch`` has finished ``batch`` batches.

    ``sums`` are the loss terms of the epoch so far, ``counts`` its other counters, ``rows`` the metrics of finished
    epochs, all totals over all ``processes``. A batch is computed in parts of ``micro_batch`` images, None for all at
    once, with blocks computed again if ``recompute``; both were chosen for the setting ``memory``.
    ``scaler`` is the state of fp16's loss scaling.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seconds: float = 0.0
    best_ap: float | None = None
    best_epoch: int | None = None
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    processes: int = 1
    micro_batch: int | None = None
    recompute: bool = False
    memory: str | None = None
    scaler: dict[str, int | float] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


def save_state(run: Path, model: nn.Module, optimiser: torch.optim.Optimizer, state: LoopState) -> None:
    """Write the model, the optimiser and the progress of the loop."""
    tensors: dict[str, Tensor] = {MODEL + name: tensor for name, tensor in model.state_dict().items()}
    for index, slots in optimiser.state_dict()["state"].items():
        for slot, value in slots.items():
            tensors[f"{OPTIMISER}{index}.{slot}"] = torch.as_tensor(value)
    write_tensors(run / STATE, tensors, {"progress": json.dumps(asdict(state))})
    settle(run)  # from here on, a failure no longer deletes the folder


def load_state(run: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> LoopState:
    """Load what ``save_state`` wrote.

    Raises:
        RunError: there is no state, it is damaged, or it belongs to another model.
    """
    path = run / STATE
    if not path.is_file():
        raise RunError(f"{path} is missing: nothing to resume; train without --resume into an empty folder")
    with damaged(path):
        tensors, metadata = read_tensors(path)
        state = validate(LoopState, from_json(metadata.get("progress", "null").encode()))
        require_whole(state)
    own = {name.removeprefix(MODEL): tensor for name, tensor in tensors.items() if name.startswith(MODEL)}
    put_tensors(model, own, path)
    with damaged(path):
        slots = optimiser_slots(tensors, optimiser)
    optimiser.load_state_dict({**optimiser.state_dict(), "state": slots})
    return state


def optimiser_slots(tensors: Mapping[str, Tensor], optimiser: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """The optimiser's state of each parameter, by the parameter's index.

    Raises:
        ValueError: a parameter is unknown, or its state has a wrong shape, a wrong name or values that are not finite.
    """
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        place, _, slot = name.removeprefix(OPTIMISER).partition(".")
        if not name.startswith(OPTIMISER):
            continue
        if not place.isdecimal() or int(place) >= len(parameters):
            raise ValueError(f"{name} belongs to no parameter; there are {len(parameters)}")
        shape = parameters[int(place)].shape
        if tensor.shape != (() if slot == "step" else shape) or not tensor.is_floating_point():
            raise ValueError(f"{name} is {describe_tensor(tensor)}, but its parameter is {tuple(shape)}")
        require_finite({name: tensor})
        found.setdefault(int(place), {})[slot] = tensor
        if slot not in SLOTS.get(type(optimiser), (slot,)):
            raise ValueError(f"{name} is not part of the state of {type(optimiser).__name__}")
    for index, slots in found.items():
        for slot in SLOTS.get(type(optimiser), ()):
            if slot not in slots:
                raise ValueError(f"'{OPTIMISER}{index}.{slot}' is missing")
    return found


def require_whole(state: LoopState) -> None:
    """Check that the parts of the state are consistent.

    Raises:
        ValueError: they are not.
    """
    if min(state.epoch, state.batch, state.step) < 0 or len(state.rows) != state.epoch:
        raise ValueError(f"its progress has {len(state.rows)} rows of metrics after {state.epoch} epochs")
    if (state.batch > 0) != ("images" in state.sums):
        raise ValueError(f"its progress has {len(state.sums)} sums after {state.batch} batches")
    for row in state.rows:
        validate(MetricsRow, row)


def can_resume(run: Path) -> bool:
    """Whether there is a state to resume from."""
    return (run / STATE).is_file()
