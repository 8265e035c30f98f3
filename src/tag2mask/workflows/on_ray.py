"""All shards of a mask set on the machines of a Ray cluster: ``--shard ray/N``.

Ray Data hands the numbers of the shards to a pool of workers. A worker paints a shard as ``--shard I/N`` does, so a
shard that is finished is skipped, and one whose worker was lost begins anew on another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tag2mask import errors
from tag2mask.data.remote import fetch, show
from tag2mask.errors import SettingsError, Tag2MaskError
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.sharding import in_range
from tag2mask.masks.write import MaskSetSummary
from tag2mask.prediction import predict as prediction
from tag2mask.prediction.settings import PredictSettings
from tag2mask.progress import progress_bar
from tag2mask.urls import place_name

RAY = re.compile(r"ray/(\d{1,9})")

Paint = Callable[[str], MaskSetSummary]


def make_masks(
    run: Path, data: Path | None, out: Path | None, settings: MaskSettings, shard: str | None
) -> MaskSetSummary:
    """Call ``painting.make.make_masks``; ``ray/N`` paints all shards on a Ray cluster.

    Raises:
        Tag2MaskError: as there, or Ray is missing.
    """
    from tag2mask.painting import make  # imports torch, which a prediction with an ONNX file does without

    if (of := shards_on_ray(shard)) is None:
        return make.make_masks(run, data, out, settings, shard)
    out = out or run / f"shards-{settings.split}"
    names = place_name(run), None if data is None else place_name(data), place_name(out)
    return paint_on_ray(partial(make_shard, *names, settings), of, out)


def predict(
    model: Path, images: Sequence[Path], out: Path, settings: PredictSettings, split: str | None, shard: str | None
) -> MaskSetSummary:
    """Call ``prediction.predict.predict``; ``ray/N`` paints all shards on a Ray cluster.

    Raises:
        Tag2MaskError: as there, or Ray is missing.
    """
    if (of := shards_on_ray(shard)) is None:
        return prediction.predict(model, images, out, settings, split, shard)
    names = place_name(model), [place_name(path) for path in images], place_name(out)
    return paint_on_ray(partial(predict_shard, *names, settings, split), of, out)


def make_shard(run: str, data: str | None, out: str, settings: MaskSettings, shard: str) -> MaskSetSummary:
    """Paint a shard on the machine where this is called."""
    from tag2mask.painting import make

    return make.make_masks(fetch(run), None if data is None else fetch(data), show(out), settings, shard)


def predict_shard(
    model: str, images: list[str], out: str, settings: PredictSettings, split: str | None, shard: str
) -> MaskSetSummary:
    """Paint a shard on the machine where this is called."""
    return prediction.predict(fetch(model), [*map(fetch, images)], show(out), settings, split, shard)


def shards_on_ray(shard: str | None) -> int | None:
    """Return the number of shards that ``ray/N`` asks for, None for anything else.

    Raises:
        SettingsError: there cannot be so many.
    """
    found = None if shard is None else RAY.fullmatch(shard)
    return None if found is None else in_range(f"--shard {shard}", 1, int(found[1])).of


def paint_on_ray(paint: Paint, of: int, out: Path) -> MaskSetSummary:
    """Call ``paint`` with every shard on a Ray cluster; return the summary of all shards in ``out``.

    Raises:
        Tag2MaskError: the first that a shard raised; those that are finished stay.
    """
    found: list[dict[str, Any]] = []
    with cluster() as ray, progress_bar("shards", of) as bar:
        needed, room = share_of_nodes(ray.nodes())
        shards = ray.data.from_items([f"{number}/{of}" for number in range(1, of + 1)], override_num_blocks=of)
        shards.context.enable_progress_bars = False
        # Workers never have a second shard waiting, so busy ones alone are the sign that more are useful.
        shards.context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0
        workers = ray.data.ActorPoolStrategy(min_size=min(of, room), max_size=of, max_tasks_in_flight_per_actor=1)
        painted = shards.map_batches(Worker, fn_constructor_args=[paint], batch_size=1, compute=workers, **needed)
        for row in painted.iter_rows():
            found.append(read_answer(row["answer"]))
            bar.advance()
    failures = {name: reason for one in found for name, reason in one["failures"].items()}
    images, fallbacks, untagged = (sum(one[key] for one in found) for key in ("images", "fallbacks", "untagged"))
    return MaskSetSummary(out, images, found[0]["refiners"], fallbacks, untagged, failures)


@contextmanager
def cluster() -> Iterator[Any]:
    """Yield Ray, connected to the cluster of ``RAY_ADDRESS``, or to one on this machine that is ended again.

    Raises:
        SettingsError: Ray is not installed, or cannot be reached.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise SettingsError("--shard ray/N needs the extra ray: pip install 'tag2mask[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(include_dashboard=False, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SettingsError(f"--shard ray/N: Ray cannot be started or reached ({reason}); see RAY_ADDRESS") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def share_of_nodes(nodes: Sequence[dict[str, Any]]) -> tuple[dict[str, float], int]:
    """Return what a worker takes, and for how many workers there is room.

    A worker takes a GPU with its share of the processors, or one processor if there are no GPUs.
    """
    there = [node["Resources"] for node in nodes if node["Alive"]]
    with_gpus = [node for node in there if node.get("GPU", 0) >= 1]
    if not with_gpus:
        return {"num_cpus": 1}, max(1, int(sum(node.get("CPU", 0) for node in there)))
    cpus = max(1, min(int(node.get("CPU", 1) // node["GPU"]) for node in with_gpus))
    return {"num_gpus": 1, "num_cpus": cpus}, int(sum(node["GPU"] for node in with_gpus))


class Worker:
    """Paints shards; Ray keeps some of these."""

    def __init__(self, paint: Paint) -> None:
        """Keep what paints a shard."""
        self.paint = paint

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Paint one shard; an error of the user's is part of the answer, since Ray would wrap it."""
        try:
            answer = self.paint(str(batch["item"][0])).to_json()
        except Tag2MaskError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        return {"answer": np.array([json.dumps(answer)])}


def read_answer(text: str) -> dict[str, Any]:
    """Return the summary of a shard from a worker.

    Raises:
        Tag2MaskError: the one that the shard ended with.
    """
    answer: dict[str, Any] = json.loads(text)
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])
    return answer
