"""What many images cost: seconds and bytes of one image, measured here; hours, requests and money computed from them.

    python benchmarks/costs.py measure RUN --out costs.json [--data DATA] [--split val] [--every 4]
    python benchmarks/costs.py estimate costs.json --images 1e6 [--refine guided,crf] [--gpu-rate IMAGES/S]
        [--core-hour P] [--gpu-hour P] [--put-1000 P] [--get-1000 P] [--gb-month P]

``measure`` runs on one thread of a CPU and counts its seconds. ``estimate`` knows no prices and no GPU: it multiplies
what you give it, and leaves out the rest. A GPU's rate is that of the forward pass alone, from your own measurement.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from tag2mask.data import Sample, open_dataset
from tag2mask.data.loading import load_image
from tag2mask.data.remote import show
from tag2mask.data.stores import connect
from tag2mask.data.writing import mask_png
from tag2mask.files import json_bytes, write_json
from tag2mask.masks.resolve import resolve_masks, unrefined
from tag2mask.masks.settings import MaskSettings
from tag2mask.painting.painter import Painter
from tag2mask.stored import read_stored
from tag2mask.training.run import Run, open_run

REFINERS = ("pamr", "guided", "crf")
BLOCK = 512  # bytes: a tar has a header of one block for each file, and fills its last block
PART = 50 * 2**20  # bytes of a part that s3fs uploads at once; larger objects need one request more to begin and to end
NAMES = 20_000  # objects in the listing that is timed
PAGE = 1000  # names in an answer to a LIST request


@dataclass(frozen=True)
class Measured:
    """Means over images: seconds of one core by stage, and bytes."""

    machine: str
    versions: str
    run: str
    images: int
    megapixels: float
    seconds: dict[str, float]
    bytes: dict[str, float]


@dataclass(frozen=True)
class Order:
    """What is to be painted, and the reader's prices; None leaves a row out."""

    images: int
    refine: tuple[str, ...] = ()
    per_shard: int = 10_000
    per_prefix: int = 1_000_000
    gpu_rate: float | None = None
    core_hour: float | None = None
    gpu_hour: float | None = None
    put_1000: float | None = None
    get_1000: float | None = None
    gb_month: float | None = None


@dataclass
class Bill:
    """Rows of quantity, amount and price."""

    rows: list[tuple[str, float, str, float | None]] = field(default_factory=list)

    def add(self, name: str, amount: float, unit: str, price: float | None) -> None:
        """Add a row; ``price`` is that of one unit."""
        self.rows.append((name, amount, unit, None if price is None else amount * price))


def measure(run: Run, place: Path, split: str, every: int) -> Measured:
    """Measure every N-th image of a split."""
    by_maps = unrefined(MaskSettings.parse({"split": split, "tags": "predicted"}))
    plain = Painter(run, resolve_masks(by_maps, run))
    refined = {
        name: Painter(run, resolve_masks(MaskSettings.parse({"tags": "predicted", "refine": {"names": name}}), run))
        for name in REFINERS
    }
    samples = list(open_dataset(place, run.settings.data, split))[::every]
    seconds: defaultdict[str, float] = defaultdict(float)
    sizes: defaultdict[str, float] = defaultdict(float)
    for number, sample in enumerate([samples[0], *samples]):
        if number == 1:  # the first one warms up
            seconds.clear()
            sizes.clear()
        measure_one(sample, plain, refined, seconds, sizes)
    seconds |= {name: seconds[name] - seconds["paint"] for name in REFINERS}
    means = {name: value / len(samples) for name, value in seconds.items()}
    return Measured(
        machine=f"{processor()}, one thread",
        versions=f"Python {platform.python_version()}, torch {torch.__version__}",
        run=f"{run.settings.method}, {run.settings.backbone.name}, {run.settings.backbone.image_size} px",
        images=len(samples),
        megapixels=sizes.pop("pixels") / len(samples) / 1e6,
        seconds={**means, "list a name": time_listing()},
        bytes={name: value / len(samples) for name, value in sizes.items()},
    )


def measure_one(
    sample: Sample,
    plain: Painter,
    refined: dict[str, Painter],
    seconds: defaultdict[str, float],
    sizes: defaultdict[str, float],
) -> None:
    """Add the seconds and bytes of an image to the sums."""
    with timed(seconds, "decode"):
        image = load_image(sample.image, plain.run.settings.data)
    with timed(seconds, "forward"):
        [found] = plain.look([(sample, image)])
    with timed(seconds, "paint"):
        painted = plain.paint_one(sample, image, found)
    for name, painter in refined.items():
        with timed(seconds, name):
            painter.paint_one(sample, image, found)
    with timed(seconds, "write"):
        content = mask_png(painted.labels, plain.run.classes)
    sizes["image"] += sample.image.stat().st_size
    sizes["mask"] += len(content)
    sizes["in the tar"] += BLOCK + math.ceil(len(content) / BLOCK) * BLOCK
    sizes["manifest"] += len(json_bytes({sample.name: painted.tags}))
    sizes["pixels"] += painted.labels.size


@contextmanager
def timed(sums: defaultdict[str, float], name: str) -> Iterator[None]:
    """Add the CPU's seconds in this context."""
    begun = time.process_time()
    yield
    sums[name] += time.process_time() - begun


def time_listing() -> float:
    """Return our seconds for a name in a listing, from a store in memory: the store's own are not in it."""
    store = connect("memory")
    for number in range(NAMES):
        store.pipe_file(f"costs/images/{number:07}.jpg", b"")
    begun = time.process_time()
    show("memory://costs/images")
    return (time.process_time() - begun) / NAMES


def processor() -> str:
    """Return the name of the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def estimate(one: Measured, order: Order) -> Bill:
    """Compute what an order costs.

    ::

        core hours = images * (decode + forward + paint + refiners + write) / 3600, without forward if a GPU does it
        GPU hours  = images / rate / 3600
        PUT        = shards, or their parts of 50 MiB and two more
        GET        = images + shards * models
        LIST       = shards * names of a prefix / 1000
        GB         = images * (mask in the tar + manifest)
    """
    bill, stages = Bill(), ["decode", "forward", "paint", *order.refine, "write"]
    if order.gpu_rate is not None:
        stages.remove("forward")
    hours = {name: order.images * one.seconds[name] / 3600 for name in stages}
    for name, amount in hours.items():
        bill.add(name, amount, "core hours", order.core_hour)
    if order.gpu_rate is not None:
        bill.add("forward", order.images / order.gpu_rate / 3600, "GPU hours", order.gpu_hour)
        beside = order.gpu_rate * sum(one.seconds[name] for name in stages)
        bill.add("to keep a GPU busy", beside, "cores beside it", None)
    shards = math.ceil(order.images / order.per_shard)
    size = order.per_shard * (one.bytes["in the tar"] + one.bytes["manifest"])
    parts = 1 if size <= PART else math.ceil(size / PART) + 2
    names = min(order.images, order.per_prefix)
    bill.add("shards uploaded", shards * parts, "PUT", over_1000(order.put_1000))
    bill.add("prefixes listed", shards * math.ceil(names / PAGE), "LIST", over_1000(order.put_1000))
    bill.add("images fetched", order.images, "GET", over_1000(order.get_1000))
    bill.add("images read", order.images * one.bytes["image"] / 1e9, "GB", None)
    bill.add("masks stored", shards * size / 1e9, "GB", order.gb_month)
    bill.add("links made", shards * names * one.seconds["list a name"] / 3600, "core hours", order.core_hour)
    return bill


def over_1000(price: float | None) -> float | None:
    """Return the price of one of a thousand."""
    return None if price is None else price / 1000


def table(bill: Bill) -> str:
    """Return a bill as a Markdown table; storage is for a month."""
    lines = ["| | amount | unit | price |", "|---|---|---|---|"]
    for name, amount, unit, price in bill.rows:
        lines.append(f"| {name} | {amount:,.1f} | {unit} | {'' if price is None else f'{price:,.2f}'} |")
    total = sum(price for *_, price in bill.rows if price is not None)
    return "\n".join([*lines, f"| sum of the rows with a price | | | {total:,.2f} |"] if total else lines)


def main() -> None:
    """Measure, or estimate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    first, second = verbs.add_parser("measure"), verbs.add_parser("estimate")
    first.add_argument("run", type=Path)
    first.add_argument("--out", type=Path, required=True)
    first.add_argument("--data", type=Path)
    first.add_argument("--split", default="val")
    first.add_argument("--every", type=int, default=4)
    second.add_argument("measured", type=Path)
    second.add_argument("--images", type=float, required=True)
    second.add_argument("--refine", default="")
    for name in ("per-shard", "per-prefix"):
        second.add_argument(f"--{name}", type=float, default=getattr(Order, name.replace("-", "_")))
    for name in ("gpu-rate", "core-hour", "gpu-hour", "put-1000", "get-1000", "gb-month"):
        second.add_argument(f"--{name}", type=float)
    given = vars(parser.parse_args())
    if given.pop("verb") == "measure":
        torch.set_num_threads(1)
        run = open_run(given["run"])
        found = asdict(measure(run, given["data"] or run.data, given["split"], given["every"]))
        write_json(given["out"], found)
        print(json.dumps(found, indent=2))
        return
    one = read_stored(given.pop("measured"), Measured)
    given |= {name: int(given[name]) for name in ("images", "per_shard", "per_prefix")}
    given["refine"] = tuple(name for name in given["refine"].split(",") if name)
    print(table(estimate(one, Order(**given))))


if __name__ == "__main__":
    main()
