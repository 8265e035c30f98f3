"""The benchmarks name only what the package still has."""

import argparse
import importlib
import sys
from pathlib import Path

import pytest

from tag2mask.errors import RunError

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SHARED = {"begun", "paired", "pieces"}  # what others use


@pytest.mark.parametrize("name", sorted(path.stem for path in BENCHMARKS.glob("*.py") if path.stem not in SHARED))
def test_a_benchmark_can_be_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    sys.modules.pop(name, None)
    assert callable(importlib.import_module(name).main)
    del sys.modules[name]


def test_costs_are_amounts_times_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    costs = importlib.import_module("costs")
    seconds = {"decode": 0.01, "forward": 1.0, "paint": 0.02, "crf": 0.5, "write": 0.03, "list a name": 1e-3}
    one = costs.Measured("", "", "", 1, 0.2, seconds, {"image": 1e5, "in the tar": 1024.0, "manifest": 76.0})
    order = costs.Order(7200, ("crf",), per_shard=1000, core_hour=2.0, put_1000=500.0, gb_month=1000.0)
    amounts = {
        name: (round(amount, 6), price and round(price, 6))
        for name, amount, _, price in costs.estimate(one, order).rows
    }
    assert amounts == {
        "decode": (0.02, 0.04),
        "forward": (2.0, 4.0),
        "paint": (0.04, 0.08),
        "crf": (1.0, 2.0),
        "write": (0.06, 0.12),
        "shards uploaded": (8.0, 4.0),
        "prefixes listed": (64.0, 32.0),
        "images fetched": (7200.0, None),
        "images read": (0.72, None),
        "masks stored": (0.0088, 8.8),
        "links made": (0.016, 0.032),
    }
    gpu = costs.estimate(one, costs.Order(7200, gpu_rate=100.0, gpu_hour=3.0, per_shard=100_000))
    rows = {name: (round(amount, 6), price) for name, amount, _, price in gpu.rows}
    assert rows["forward"] == (0.02, pytest.approx(0.06))
    assert rows["to keep a GPU busy"] == (6.0, None)
    assert rows["shards uploaded"] == (5.0, None)  # 105 MiB in three parts


def test_results_of_other_arguments_are_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    begun = importlib.import_module("begun")
    given = {"out": tmp_path / "out", "seeds": "0", "set": ["epochs=3"]}
    begun.require_same_arguments(argparse.Namespace(**given), "seeds")
    begun.require_same_arguments(argparse.Namespace(**{**given, "seeds": "0,1"}), "seeds")
    with pytest.raises(RunError, match=r"was begun with set = \['epochs=3'\], not \['epochs=4'\]"):
        begun.require_same_arguments(argparse.Namespace(**{**given, "set": ["epochs=4"]}), "seeds")
