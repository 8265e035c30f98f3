"""Generated data for all tests, and the shared images and weights for those marked ``real``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from squares import SMALL, write_squares
from tag2mask.data.reading import read_mask
from tag2mask.masks.write import MaskSetWriter, Painted
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import segment
from tag2mask.training.run import open_run

torch.set_num_threads(1)
SHARED = Path(os.environ.get("TAG2MASK_SHARED", Path(__file__).parents[2] / "shared"))


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


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    return write_squares(tmp_path / "squares")


@pytest.fixture
def make_squares(tmp_path: Path) -> Callable[..., Path]:
    return lambda **settings: write_squares(tmp_path / "made", **settings)


@pytest.fixture
def small() -> dict[str, object]:
    """Settings of a training run that takes a second."""
    return {**SMALL}


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run on generated images, trained once; ``run`` and ``squares`` below it."""
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
    """A finished mask set of the training images, as good as truth."""
    data, path = run.parent / "squares", run.parent / "masks"
    origin = {"labels_used": "image tags, given", "truth_used": "none", "settings": {"tags": "given"}}
    writer = MaskSetWriter(path, open_run(run).classes, origin)
    for name in (data / "splits/train.txt").read_text().split():
        writer.add(name, Painted(read_mask(data / f"masks/{name}.png"), ["red"], fallback=False))
    writer.finish({})
    return path


@pytest.fixture(scope="session")
def student(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter after one epoch."""
    out = tmp_path_factory.mktemp("student") / "student"
    settings = SegmentSettings.parse({"epochs": 1, "batch_size": 4, "precision": "fp32"})
    segment(trained / "run", None, out, settings, trained / "squares/masks", fully_supervised=True)
    return out
