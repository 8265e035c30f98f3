"""Refiners: seconds per image with present classes only and with all classes, and memory at 6000 x 4000 pixels.

    python benchmarks/refine.py [--rounds 3] [--classes 21] [--present 3] [--size 375 500]
    python benchmarks/refine.py --large RUN

The first command prints a table for random images and smooth maps; if pydensecrf2 is installed, its CRF is included.
The second writes one image of 6000 x 4000 pixels, paints it with RUN in a separate process (``masks --tags predicted``,
PAMR and CRF), and prints that process's peak memory; it then repeats this in tiles at a short side of 1400.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tag2mask.refine.dense_crf import crf, crf_in_cpp
from tag2mask.refine.joint_bilateral import guided
from tag2mask.refine.pixel_adaptive import pamr
from tag2mask.refine.settings import CRFSettings
from tag2mask.training.run import open_run

PATCH = 14  # pixels


def main() -> None:
    """Print the table, or the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--present", type=int, default=3)
    parser.add_argument("--size", type=int, nargs=2, default=(375, 500))
    parser.add_argument("--large", type=Path)
    arguments = parser.parse_args()
    if arguments.large:
        measure_large(arguments.large)
        return
    torch.manual_seed(0)
    image, maps = smooth(3, arguments.size, 12), smooth(arguments.classes, arguments.size, 8)
    print(f"{torch.get_num_threads()} threads, {arguments.size[0]} x {arguments.size[1]} pixels, seconds per image")
    print(f"| refiner | {arguments.present} classes | {arguments.classes} classes |\n|---|---|---|")
    grid = arguments.size[0] // PATCH, arguments.size[1] // PATCH
    ways: dict[str, Callable[[Tensor, Tensor], object]] = {
        "pamr": pamr,
        "guided": lambda x, m: guided(x, m, grid),
        "crf": lambda x, m: crf(x, m, CRFSettings()),
    }
    if importlib.util.find_spec("pydensecrf"):
        ways["crf, pydensecrf2"] = lambda x, m: crf_in_cpp(x, m, CRFSettings())
    for name, refine in ways.items():
        few = best_of(arguments.rounds, refine, image, maps[: arguments.present])
        many = best_of(arguments.rounds, refine, image, maps)
        print(f"| {name} | {few:.2f} | {many:.2f} |")


def smooth(channels: int, size: tuple[int, int], cells: int) -> Tensor:
    """Smooth random fields ``(channels, Y, X)`` in [0, 1]."""
    return F.interpolate(torch.rand(1, channels, cells, cells), size=tuple(size), mode="bicubic")[0].clamp(0, 1)


def best_of(rounds: int, refine: Callable[[Tensor, Tensor], object], image: Tensor, maps: Tensor) -> float:
    """Return the shortest time of several runs."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        refine(image, maps)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure_large(run: Path) -> None:
    """Paint one large image in a separate process and print its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        (data / "images").mkdir(parents=True)
        torch.manual_seed(0)
        pixels = (smooth(3, (4000, 6000), 60) * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(data / "images/large.jpg")
        names = open_run(run).classes.pixel_names
        (data / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        (data / "labels.csv").write_text(f"image,labels\nlarge.jpg,{names[-1]}\n", encoding="utf-8")
        command = [sys.executable, "-m", "tag2mask", "masks", str(run), "--data", str(data), "--split", "all"]
        command += ["--tags", "predicted", "--refine", "pamr,crf", "--out", str(Path(folder) / "masks")]
        for side in (None, 1400):
            shutil.rmtree(Path(folder) / "masks", ignore_errors=True)
            process = subprocess.Popen([*command, *([] if side is None else ["--set", f"side={side}"])])
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise SystemExit(process.returncode)
            print(f"6000 x 4000, side {side or 'of training'}: peak {usage.ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
