"""Time and memory of ``tag2mask check --quick`` on a table with a million lines.

    python benchmarks/large_csv.py DIR [--rows 1000000] [--classes 80]

Writes the table, split lists and as many empty files into DIR (inodes, no bytes), unless they exist, then checks them
in a separate process. The full check decodes every image, which dominates its time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Print seconds and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=80)
    arguments = parser.parse_args()
    if not (arguments.root / "labels.csv").exists():
        write_table(arguments.root, arguments.rows, arguments.classes)
    start = time.perf_counter()
    command = [sys.executable, "-m", "tag2mask", "check", str(arguments.root), "--quick", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    report = json.loads(done.stdout.splitlines()[-1])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{report['tagged']} rows, {report['images']} files, {len(report['problems'])} problems")
    print(f"{seconds:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of CPU time, peak {used.ru_maxrss / 1024:.0f} MiB")


def write_table(root: Path, rows: int, classes: int) -> None:
    """Write rows with one to three of ``classes`` tags; 1000 files per folder, nine tenths of them for training."""
    chance = random.Random(0)
    names = [f"class {number}" for number in range(classes)]
    files = [f"{number // 1000:04d}/image_{number:07d}.jpg" for number in range(rows)]
    for number in range(0, rows, 1000):
        (root / f"images/{number // 1000:04d}").mkdir(parents=True)
    for file in files:
        os.close(os.open(root / "images" / file, os.O_CREAT))
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in names))
    (root / "splits").mkdir()
    cut = rows * 9 // 10
    for split, listed in (("train", files[:cut]), ("val", files[cut:])):
        (root / f"splits/{split}.txt").write_text("".join(f"{file}\n" for file in listed))
    with (root / "labels.csv").open("w") as table:
        table.write("image,labels\n")
        table.writelines(f"{file},{';'.join(chance.sample(names, chance.randint(1, 3)))}\n" for file in files)


if __name__ == "__main__":
    main()
