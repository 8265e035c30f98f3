"""Run folders of 0.1, where one class named tokenmasking was our own method and the paper's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from interruption import interrupted_after
from tag2mask import train
from tag2mask.errors import SettingsError
from tag2mask.methods import METHODS, Ask, method_settings
from tag2mask.methods.earlier import method_of_run
from tag2mask.training.run import open_run

# What 0.1 wrote of its default, in its order.
OLD: dict[str, Any] = {
    "reads": "attended",
    "head": "per_token",
    "final_norm": True,
    "class_attention": "all",
    "masking_ratio": 0.5,
    "registers": 1,
    "pruning": False,
    "gate_penalty": 0.01,
    "gates": "soft",
    "gate_start": 2.3,
    "token_noise": 0.02,
    "attended_layers": 3,
    "map_layers": 3,
    "over_layers": "mean",
    "cut": 0,
    "maps": "contribution",
    "heads": "open",
}
SHALLOW = OLD | {"attended_layers": 2, "map_layers": 2}  # for a backbone of two layers
PAPER = OLD | {"reads": "token", "head": "concat", "pruning": True, "map_layers": None, "maps": "attention"}
RELEASED = PAPER | {"final_norm": False, "gates": "hard", "gate_start": "xavier", "heads": "all"}


def backdate(run: Path, method: str, settings: dict[str, Any]) -> None:
    """Write a run's method as 0.1 did."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["settings"] |= {"method": method, "method_settings": settings}
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


@pytest.mark.parametrize(
    ("name", "now", "settings"),
    [
        ("tokenmasking", "attended", SHALLOW),
        (
            "tokenmasking",
            "attended",
            OLD | {"attended_layers": 2, "map_layers": 1, "maps": "attention", "pruning": True},
        ),
        ("tokenmasking-paper", "tokenmasking", PAPER),
        ("tokenmasking-released", "tokenmasking-released", RELEASED),
        ("tokenmasking", "tokenmasking", PAPER | {"head": "per_token", "map_layers": 2, "pruning": False}),
    ],
)
def test_an_old_run_opens_with_its_weights_and_maps(
    name: str, now: str, settings: dict[str, Any], squares: Path, tmp_path: Path, small: dict[str, Any]
) -> None:
    known = METHODS[now].settings_class.model_fields
    chosen = {key: value for key, value in settings.items() if key in known}
    train(squares, tmp_path / "run", **{**small, "method": now, "method_settings": chosen})
    images, ask = torch.randn(2, 3, 32, 40), Ask(maps=True, affinity=True)
    with torch.no_grad():
        wanted = open_run(tmp_path / "run").load_method()(images, ask=ask)
        backdate(tmp_path / "run", name, settings)
        opened = open_run(tmp_path / "run")
        found = opened.load_method()(images, ask=ask)
    assert METHODS[opened.settings.method] == METHODS[now]
    assert method_settings(opened.settings.method, opened.settings.method_settings).model_dump() == (
        method_settings(now, chosen).model_dump()
    )
    for key in ("scores_BC", "maps_BChw", "affinity_BMM"):
        assert torch.equal(getattr(found, key), getattr(wanted, key))


def test_an_old_run_resumes(squares: Path, tmp_path: Path, small: dict[str, Any]) -> None:
    small["method"] = "attended"
    train(squares, tmp_path / "whole", **small)
    with interrupted_after(3), pytest.raises(KeyboardInterrupt):
        train(squares, tmp_path / "run", **small)
    backdate(tmp_path / "run", "tokenmasking", SHALLOW)
    train(squares, tmp_path / "run", resume=True, **small)
    whole, halved = (open_run(tmp_path / name).load_method().state_dict() for name in ("whole", "run"))
    assert all(torch.equal(whole[key], halved[key]) for key in whole)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (OLD | {"head": "shared"}, "method.head=shared with reads=attended was removed"),
        (OLD | {"final_norm": False}, "method.final_norm=False with reads=attended was removed"),
        (OLD | {"pruning": True, "gates": "hard"}, "method.gates=hard with reads=attended was removed"),
        (PAPER | {"head": "mean"}, "method.head=mean with reads=token was removed"),
        (PAPER | {"class_attention": "readers"}, "method.class_attention=readers with reads=token was removed"),
    ],
)
def test_forms_that_are_gone_are_named(run: Path, settings: dict[str, Any], reason: str) -> None:
    backdate(run, "tokenmasking", settings)
    message = f"{run / 'config.yaml'}: {reason}; open the run with tag2mask 0.1, or train again"
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}$"):
        open_run(run)


def test_what_0_1_did_not_use_does_not_matter() -> None:
    """Gates of a run without pruning, and what only a training starts from."""
    told = OLD | {"gates": "hard", "gate_start": "xavier", "heads": "all", "token_noise": 0.0}
    assert method_of_run("tokenmasking", told, "here") == method_of_run("tokenmasking", OLD, "here")


def test_other_runs_are_left_as_they_are() -> None:
    for name in METHODS:
        settings = method_settings(name, {}).model_dump()
        assert method_of_run(name, settings, "here") == (name, settings)
    assert method_of_run("tokenmasking", {"reads": ["odd"]}, "here") == ("tokenmasking", {"reads": ["odd"]})
