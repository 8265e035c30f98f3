"""Generated data for all tests, and the shared photographs and weights for those marked ``real``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tag2mask.data.reading import read_mask
from tag2mask.masks.write import MaskSetWriter
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import segment
from tag2mask.training.run import open_run

torch.set_num_threads(1)
SHARED = Path(os.environ.get("TAG2MASK_SHARED", Path(__file__).parents[2] / "shared"))
COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 220)}


@pytest.fixture(scope="session")
def shared_data() -> Path:
    return shared("data/msrc21")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    return shared("weights/vit_small_patch14_dinov2.fp16.safetensors")


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is not there: set TAG2MASK_SHARED to the folder that holds it")
    return path


def write_squares(root: Path, count: int = 12, side: int = 48, background: bool = False, bands: int = 3) -> Path:
    """Photographs whose left and right half have one of three colours; their tags, lists and truth."""
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


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    return write_squares(tmp_path / "squares")


@pytest.fixture
def make_squares(tmp_path: Path) -> Callable[..., Path]:
    return lambda **settings: write_squares(tmp_path / "made", **settings)


SMALL = {
    "backbone": {"name": "vit_tiny_patch16_224", "image_size": 32, "patch": 8, "width": 24, "depth": 2, "heads": 3},
    "method_settings": {"map_layers": 2, "attended_layers": 2},
    "weights": "none",
    "epochs": 2,
    "batch_size": 4,
    "precision": "fp32",
}


@pytest.fixture
def small() -> dict[str, object]:
    """Settings of a training run that takes a second."""
    return {**SMALL}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run on generated photographs, trained once; ``run`` and ``squares`` below it."""
    from tag2mask import train

    root = tmp_path_factory.mktemp("trained")
    write_squares(root / "squares", background=True)
    train(root / "squares", root / "run", **SMALL)
    return root


TINY = {"epochs": 2, "batch_size": 4, "precision": "fp32", "clipping": {"tau": 9.0}}


@pytest.fixture
def tiny() -> SegmentSettings:
    return SegmentSettings.parse(TINY)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run and its data, to be spoiled."""
    shutil.copytree(trained / "squares", tmp_path / "squares")
    shutil.copytree(trained / "run", tmp_path / "run")
    config = tmp_path / "run/config.yaml"
    config.write_text(config.read_text().replace(str(trained), str(tmp_path)))
    return tmp_path / "run"


@pytest.fixture
def masks(run: Path) -> Path:
    """A finished mask set of the training photographs, as good as truth."""
    data, path = run.parent / "squares", run.parent / "masks"
    origin = {"labels_used": "image tags, given", "truth_used": "none", "settings": {"tags": "given"}}
    writer = MaskSetWriter(path, open_run(run).classes, origin)
    for name in (data / "splits/train.txt").read_text().split():
        writer.add(name, read_mask(data / f"masks/{name}.png"), ["red"], fallback=False)
    writer.finish({})
    return path


@pytest.fixture(scope="session")
def student(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter after one epoch."""
    out = tmp_path_factory.mktemp("student") / "student"
    settings = SegmentSettings.parse({"epochs": 1, "batch_size": 4, "precision": "fp32"})
    segment(trained / "run", None, out, settings, trained / "squares/masks", fully_supervised=True)
    return out
