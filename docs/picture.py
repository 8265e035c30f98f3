"""Draw the picture of README.md: the first scenes of the demo's test split, their tags, the masks, the true masks.

python docs/picture.py demo docs/picture.png      # after make demo
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tag2mask.data.classes import Classes

SIDE, GAP, LINE, SCENES = 168, 16, 26, 4
INK, PAPER, GROUND = "#1f2328", "#ffffff", (226, 229, 234)


def main() -> None:
    """Read the two arguments and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    draw(given.demo).convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(given.out, optimize=True)


def draw(demo: Path) -> Image.Image:
    """Return the picture: one column per scene, below each other the scene, its tags, its mask and the true mask."""
    masks = demo / "run/masks-test"
    classes = Classes(tuple(json.loads((masks / "classes.json").read_text())["names"]), "background")
    tags = json.loads((masks / "manifest.json").read_text())["image_tags"]
    labels = ("image", "tags", "mask from the tags", "true mask (for scoring)")
    left = 190
    picture = Image.new("RGB", (left + SCENES * (SIDE + GAP), 3 * (SIDE + GAP) + LINE + GAP), PAPER)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(17)
    tops = (GAP, GAP + SIDE + 4, GAP + SIDE + LINE + GAP, GAP + 2 * SIDE + LINE + 2 * GAP)
    for label, top, height in zip(labels, tops, (SIDE, LINE, SIDE, SIDE), strict=True):
        pen.text((GAP / 2, top + height / 2), label, INK, font, anchor="lm")
    for index, name in enumerate(sorted(tags)[:SCENES]):
        x = left + index * (SIDE + GAP)
        scene = Image.open(demo / f"data/images/{name}.png")
        picture.paste(scene.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (x, tops[0]))
        pen.text((x + SIDE / 2, tops[1] + LINE / 2), ", ".join(tags[name]), INK, font, anchor="mm")
        for file, top in ((masks / f"masks/{name}.png", tops[2]), (demo / f"data/masks/{name}.png", tops[3])):
            picture.paste(coloured(np.asarray(Image.open(file)), classes), (x, top))
    return picture


def coloured(labels: np.ndarray, classes: Classes) -> Image.Image:
    """Return a mask in its classes' colours, with light ground."""
    colours = classes.palette().copy()
    colours[0] = GROUND
    return Image.fromarray(colours[labels].astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.NEAREST)


if __name__ == "__main__":
    main()
