"""All shards on a Ray cluster of two workers on this machine."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tag2mask import make_masks, merge, predict
from tag2mask.errors import MaskSetError, SettingsError
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import MaskSetSummary
from tag2mask.workflows import on_ray

MASKS: dict[str, Any] = {"split": "all", "batch_size": 2}


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    pytest.importorskip("ray.data", reason="the extra ray is not installed")
    variables = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    ray.init(
        num_cpus=2,
        num_gpus=0,
        object_store_memory=100 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": variables},
    )
    yield ray
    ray.shutdown()


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def paint_slowly(run: str, out: str, shard: str) -> MaskSetSummary:
    """Paint a shard. Say first which process does, and the first time wait to be killed."""
    begun = Path(out).parent / f"begun-{shard.replace('/', '-')}"
    first = not begun.with_name("killed").exists()
    begun.write_text(str(os.getpid()))
    if first and shard == "2/3":
        time.sleep(60)
    return on_ray.make_shard(run, None, out, MaskSettings.parse(MASKS), shard)


def kill_when(begun: Path, other: Path) -> None:
    """Kill the worker of a shard once another shard is finished."""
    while not (begun.exists() and begun.read_text() and other.exists()):
        time.sleep(0.05)
    os.kill(int(begun.read_text()), signal.SIGKILL)
    begun.rename(begun.with_name("killed"))


def test_a_killed_worker_changes_nothing(ray: Any, run: Path, tmp_path: Path) -> None:
    (run.parent / "squares/images/p09.png").write_bytes(b"no image")
    out = tmp_path / "shards"
    begun, other = tmp_path / "begun-2-3", out / "shard-00001-of-00003.tar"
    killer = threading.Thread(target=kill_when, args=(begun, other), daemon=True)
    killer.start()
    paint = partial(paint_slowly, str(run), str(out))
    cloudpickle = pytest.importorskip("cloudpickle")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not import tests
    made = on_ray.paint_on_ray(paint, 3, out)
    killer.join(1)
    assert not killer.is_alive()
    assert (tmp_path / "killed").read_text() != begun.read_text()
    whole = make_masks(run, out=tmp_path / "whole", **MASKS)
    assert {**made.to_json(), "masks": ""} == {**whole.to_json(), "masks": ""}
    assert (made.images, list(made.failures)) == (11, ["p09"])
    merge(out, tmp_path / "merged")
    assert content(tmp_path / "merged") == content(tmp_path / "whole")


def test_a_worker_skips_what_is_finished_and_tells_what_it_was_refused(run: Path, tmp_path: Path) -> None:
    names = str(run), None, str(tmp_path / "shards"), MaskSettings.parse(MASKS)
    paint = on_ray.Worker(partial(on_ray.make_shard, *names))
    first, again = (on_ray.read_answer(paint({"item": np.array(["2/6"])})["answer"][0]) for _ in range(2))
    assert first == again
    assert first["images"] == 2
    refused = paint({"item": np.array(["2/4"])})["answer"][0]
    with pytest.raises(MaskSetError, match=r"shard-00002-of-00006\.tar is one of 6 shards, not of 4"):
        on_ray.read_answer(refused)


def test_predictions_on_ray(ray: Any, student: Path, trained: Path, tmp_path: Path) -> None:
    images = trained / "squares/images"
    predict(student, images, tmp_path / "shards", shard="ray/1", batch_size=4)
    predict(student, images, tmp_path / "whole", batch_size=4)
    merge(tmp_path / "shards", tmp_path / "merged")
    assert content(tmp_path / "merged") == content(tmp_path / "whole")


@pytest.mark.parametrize("shard", ["ray/0", "ray/100000"])
def test_a_number_of_shards_that_cannot_be_is_one_line(shard: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"--shard {shard}: there is no shard 1 of"):
        make_masks(tmp_path, out=tmp_path / "out", shard=shard)


def test_without_ray_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"--shard ray/N needs the extra ray: pip install 'tag2mask\[ray\]'"):
        make_masks(tmp_path, out=tmp_path / "out", shard="ray/2")


def test_a_worker_takes_a_gpu_and_its_processors_where_there_are_any() -> None:
    def node(alive: bool = True, **resources: float) -> dict[str, Any]:
        return {"Alive": alive, "Resources": resources}

    assert on_ray.share_of_nodes([node(CPU=64), node(CPU=64), node()]) == ({"num_cpus": 1}, 128)
    nodes = [node(CPU=64), node(CPU=32, GPU=4), node(CPU=12, GPU=2), node(alive=False, CPU=2, GPU=1)]
    assert on_ray.share_of_nodes(nodes) == ({"num_gpus": 1, "num_cpus": 6}, 6)
    assert on_ray.share_of_nodes([node(CPU=1, GPU=4)]) == ({"num_gpus": 1, "num_cpus": 1}, 4)
    assert on_ray.share_of_nodes([]) == ({"num_cpus": 1}, 1)
