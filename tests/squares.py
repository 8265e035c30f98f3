"""Images whose halves have colours, and the settings of a training on them that takes a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 220)}
SMALL = {
    "backbone": {"name": "vit_tiny_patch16_224", "image_size": 32, "patch": 8, "width": 24, "depth": 2, "heads": 3},
    "method_settings": {"map_layers": 2, "attended_layers": 2},
    "weights": "none",
    "epochs": 2,
    "batch_size": 4,
    "precision": "fp32",
}


def write_squares(root: Path, count: int = 12, side: int = 48, background: bool = False, bands: int = 3) -> Path:
    """Images whose left and right half have one of three colours; their tags, lists and truth."""
    generator = np.random.default_rng(0)
    for folder in ("images", "masks", "splits"):
        (root / folder).mkdir(parents=True)
    names = list(COLOURS)
    (root / "classes.txt").write_text("\n".join(["background"] * background + names) + "\n")
    lines = ["image,labels"]
    suffix = "png" if bands in (1, 3) else "npy"
    for i in range(count):
        pair = generator.choice(len(names), 2, replace=False)
        pixels = np.zeros((side, side + 8 * (i % 2), 3))
        truth = np.zeros(pixels.shape[:2], np.uint8)
        for half, value in zip((slice(0, side // 2), slice(side // 2, None)), pair, strict=True):
            pixels[:, half] = COLOURS[names[value]]
            truth[:, half] = value + background
        pixels = (pixels + generator.normal(0, 12, pixels.shape)).clip(0, 255).astype(np.uint8)
        if suffix == "npy":
            np.save(root / f"images/p{i:02d}.npy", np.resize(pixels, (*pixels.shape[:2], bands)))
        else:
            Image.fromarray(pixels[..., 0] if bands == 1 else pixels).save(root / f"images/p{i:02d}.png")
        Image.fromarray(truth).save(root / f"masks/p{i:02d}.png")
        lines.append(f"p{i:02d}.{suffix}," + ";".join(names[v] for v in pair))
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    stems = [f"p{i:02d}" for i in range(count)]
    (root / "splits/train.txt").write_text("\n".join(stems[: count * 2 // 3]) + "\n")
    (root / "splits/val.txt").write_text("\n".join(stems[count * 2 // 3 :]) + "\n")
    return root
