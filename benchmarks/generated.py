"""Write the generated data sets on which ways to find background are compared.

    python benchmarks/generated.py OUT

Digits, defects, land cover and endoscopy frames: each is a folder with tags, true masks and a background. In the land
cover, one class becomes the background, so its tags go. Train each, and its probe, with ``tag2mask run`` or
``whole.py``, then compare with ``background.py``.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tag2mask.synthetic.defects import write_defects
from tag2mask.synthetic.digits import write_scenes
from tag2mask.synthetic.endoscopy import write_endoscopy
from tag2mask.synthetic.landcover import CLASSES, write_landcover

COUNTS = {"train": 320, "val": 100}
SIDE = 64
GROUND = "Croplands"  # the class that becomes background


def main() -> None:
    """Write the data sets that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    writers: dict[str, Callable[[Path], None]] = {
        "digits": partial(write_scenes, counts=COUNTS, side=SIDE),
        "defects": partial(write_defects, counts=COUNTS),
        "landcover": write_land,
        "endoscopy": partial(write_endoscopy, counts=COUNTS),
    }
    for name, write in writers.items():
        if not (out / name).exists():
            write(out / name)
            print(out / name, flush=True)


def write_land(root: Path) -> None:
    """Write land cover of 13 bands in which ``GROUND`` is background: it has no tag and the pixel value 0."""
    write_landcover(root, COUNTS, SIDE)
    ground = CLASSES.names.index(GROUND)
    names = [name for name in CLASSES.names if name != GROUND]
    (root / "classes.txt").write_text("\n".join(["background", *names]) + "\n")
    value = np.array([0 if old == ground else 1 + old - (old > ground) for old in range(len(CLASSES))], np.uint8)
    for path in (root / "masks").iterdir():
        Image.fromarray(value[np.asarray(Image.open(path))]).save(path)
    with (root / "labels.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    with (root / "labels.csv").open("w", newline="") as file:
        kept = ([image, ";".join(tag for tag in tags.split(";") if tag != GROUND)] for image, tags in rows)
        csv.writer(file).writerows([head, *kept])


if __name__ == "__main__":
    main()
