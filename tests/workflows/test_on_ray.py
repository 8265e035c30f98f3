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
    first = not begun.exists()
    begun.write_text(str(os.getpid()))
    if first and shard == "2/6":
        time.sleep(60)
    return on_ray.make_shard(run, None, out, MaskSettings.parse(MASKS), shard)


def kill_when(begun: Path, finished: list[Path]) -> None:
    """Kill the worker of the second shard, once others are finished."""
    while not (begun.exists() and begun.read_text() and any(path.exists() for path in finished)):
        time.sleep(0.05)
    os.kill(int(begun.read_text()), signal.SIGKILL)


def test_a_killed_worker_changes_nothing(ray: Any, run: Path, tmp_path: Path) -> None:
    (run.parent / "squares/images/p09.png").write_bytes(b"no image")
    out = tmp_path / "shards"
    others = [out / f"shard-{number:05}-of-00006.tar" for number in (1, 3, 4, 5, 6)]
    killer = threading.Thread(target=kill_when, args=(tmp_path / "begun-2-6", others), daemon=True)
    killer.start()
    paint = partial(paint_slowly, str(run), str(out))
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not import tests
    made = on_ray.paint_on_ray(paint, 6, out)
    killer.join(1)
    assert not killer.is_alive()
    whole = make_masks(run, out=tmp_path / "whole", **MASKS)
    assert {**made.to_json(), "masks": ""} == {**whole.to_json(), "masks": ""}
    assert (made.images, list(made.failures)) == (11, ["p09"])
    merge(out, tmp_path / "merged")
    assert content(tmp_path / "merged") == content(tmp_path / "whole")
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert make_masks(run, out=out, shard="ray/6", **MASKS).to_json() == made.to_json()  # nothing is painted again
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == times
    with pytest.raises(MaskSetError, match=r"shard-00001-of-00006\.tar is one of 6 shards, not of 4"):
        make_masks(run, out=out, shard="ray/4", **MASKS)


def test_predictions_on_ray(ray: Any, student: Path, trained: Path, tmp_path: Path) -> None:
    images = trained / "squares/images"
    predict(student, images, tmp_path / "shards", shard="ray/2", batch_size=4)
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

    assert on_ray.needs([node(CPU=64), node(CPU=64)]) == {"num_cpus": 1}
    nodes = [node(CPU=64), node(CPU=32, GPU=4), node(CPU=12, GPU=2), node(alive=False, CPU=2, GPU=1)]
    assert on_ray.needs(nodes) == {"num_gpus": 1, "num_cpus": 6}
    assert on_ray.needs([node(CPU=1, GPU=4)]) == {"num_gpus": 1, "num_cpus": 1}
