"""What lies beside the weights in a .pth file is neither executed nor kept."""

from __future__ import annotations

import argparse
import os
import pathlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tag2mask.errors import WeightsError
from tag2mask.vit.weights_file import BESIDE, StandIn, load_plain, read_state

TENSORS = {"a": torch.arange(3.0), "b": torch.ones(2, 2, dtype=torch.float16)}


class Shell:
    """Pickled as a call of ``os.system`` that leaves a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


class Odd(argparse.Namespace):
    """Pickled with parts and slots, which no ``Namespace`` has."""

    def __reduce__(self) -> tuple[object, tuple[object, ...], object]:
        return argparse.Namespace, ("positional",), (None, {"extra": 1})


def beside(state: dict[str, torch.Tensor]) -> dict[str, object]:
    """What training scripts save."""
    parameter = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimiser.step()
    return {
        "model": state,
        "optimizer": optimiser.state_dict(),
        "epoch": 59,
        "best": np.float64(0.694),
        "args": argparse.Namespace(lr=6e-4, device=torch.device("cpu"), out=pathlib.PurePosixPath("runs"), aa=None),
    }


@pytest.mark.parametrize("new_form", [True, False])
def test_weights_with_arguments_beside_them_are_read(tmp_path: Path, new_form: bool) -> None:
    content = beside(TENSORS) | {"args": argparse.Namespace(lr=6e-4, out=Path("runs")), "odd": Odd()}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=new_form)
    state, _ = read_state(tmp_path / "w.pth")
    assert state.keys() == TENSORS.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in TENSORS.items())


def test_nothing_is_kept_of_what_lies_beside(tmp_path: Path) -> None:
    torch.save({"args": argparse.Namespace(lr=6e-4), "odd": Odd(), "best": np.float64(1)}, tmp_path / "w.pth")
    content = load_plain(tmp_path / "w.pth")
    assert {type(value) for value in content.values()} == {StandIn}
    assert [vars(value) for value in content.values()] == [{}, {}, {}]
    assert "argparse.Namespace" in BESIDE
    with pytest.raises(Exception, match=r"argparse\.Namespace"):  # the stand-ins are known to this reader alone
        torch.load(tmp_path / "w.pth", weights_only=True)


@pytest.mark.parametrize("new_form", [True, False])
@pytest.mark.parametrize("where", ["args", "model"])
def test_a_call_in_a_pickle_is_refused_and_not_executed(tmp_path: Path, where: str, new_form: bool) -> None:
    trace = tmp_path / "trace"
    torch.save({**beside(TENSORS), where: Shell(trace)}, tmp_path / "w.pth", _use_new_zipfile_serialization=new_form)
    with pytest.raises(WeightsError, match=r"wants to call \w+\.system, .*; nothing was executed") as error:
        read_state(tmp_path / "w.pth")
    assert not trace.exists()
    assert "\n" not in str(error.value)


def test_a_path_of_another_kind_is_refused(tmp_path: Path) -> None:
    torch.save(beside(TENSORS), tmp_path / "w.pth")  # with a PurePosixPath
    with pytest.raises(WeightsError, match=r"wants to call pathlib[\w.]*\.PurePosixPath"):
        read_state(tmp_path / "w.pth")
