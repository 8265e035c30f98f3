"""Write the generated data sets on which ways to find background are compared.

    python benchmarks/generated.py OUT

Digits, defects, land cover and endoscopy frames: each is a folder with tags, true masks and a background. In the land
cover, one class becomes the background, so its tags go. Strips are four times as wide as high. Train each, and its
probe, with ``tag2mask run`` or ``whole.py``, then compare with ``background.py``.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tag2mask.synthetic import defects
from tag2mask.synthetic.digits import write_scenes
from tag2mask.synthetic.endoscopy import write_endoscopy
from tag2mask.synthetic.folder import Composed, write_folder
from tag2mask.synthetic.landcover import CLASSES, write_landcover

COUNTS = {"train": 320, "val": 100}
SIDE = 64
STRIP = 112  # height of a strip, in pixels
GROUND = "Croplands"  # the class that becomes background


def main() -> None:
    """Write the data sets that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    writers: dict[str, Callable[[Path], None]] = {
        "digits": partial(write_scenes, counts=COUNTS, side=SIDE),
        "defects": partial(defects.write_defects, counts=COUNTS),
        "landcover": write_land,
        "endoscopy": partial(write_endoscopy, counts=COUNTS),
        "strips": write_strips,
    }
    for name, write in writers.items():
        if not (out / name).exists():
            write(out / name)
            print(out / name, flush=True)


def write_strips(root: Path) -> None:
    """Write four surfaces side by side; one of them has defects, unless the strip is sound."""
    generator = np.random.default_rng(0)

    def compose(_: str) -> Composed:
        sound, place = generator.random() < defects.SOUND, int(generator.integers(4))
        parts = [defects.compose_surface(STRIP, generator, float(sound or part != place)) for part in range(4)]
        image, truth = (np.concatenate(columns, 1) for columns in zip(*parts, strict=True))
        return image, truth

    write_folder(root, defects.CLASSES, COUNTS, compose)


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
