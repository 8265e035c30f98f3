"""A small trained run, a mask set made of its photographs, and settings of a segmenter that takes a second."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tag2mask.data.reading import read_mask
from tag2mask.masks.write import MaskSetWriter
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.train import segment
from tag2mask.training.run import open_run

TINY = {"epochs": 2, "batch_size": 4, "precision": "fp32", "clipping": {"tau": 9.0}}
torch.set_num_threads(1)


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
