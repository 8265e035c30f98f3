"""What version 0.1 wrote opens, paints and predicts the same.

``written_by_0_1`` holds a run with a mask set, a segmenter and what it predicted, made on 2026-11-21's code with an
earlier version of ``squares.py``; ROOT stands for the folder that they were written to.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import tag2mask
from tag2mask.data.reading import read_mask
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import open_finished
from tag2mask.painting.make import make_masks
from tag2mask.training.run import open_run

WRITTEN = Path(__file__).with_name("written_by_0_1")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy whose paths lead to itself."""
    root = Path(shutil.copytree(WRITTEN, tmp_path / "old"))
    for path in (*root.rglob("*.yaml"), *root.rglob("*.json")):
        path.write_text(path.read_text().replace("ROOT", str(root)))
    return root


def same_masks(one: Path, other: Path) -> bool:
    first, second = open_finished(one), open_finished(other)
    assert first.names() == second.names()
    return all(np.array_equal(read_mask(first.mask(name)), read_mask(second.mask(name))) for name in first.names())


def test_a_run_is_our_default_under_its_own_name_and_paints_the_same(old: Path, tmp_path: Path) -> None:
    assert open_run(old / "run").settings.method == "attended"
    manifest = open_finished(old / "run/masks-train").manifest
    settings = MaskSettings.parse(manifest["settings"])
    assert (settings.look.flip, settings.refine.names, settings.paint.background.value) == (True, ("affinity",), 0.1)
    made = make_masks(old / "run", out=tmp_path / "again", settings=settings)
    assert same_masks(made.path, old / "run/masks-train")


def test_a_run_that_is_finished_is_not_trained_again(old: Path) -> None:
    before = (old / "run/model.safetensors").read_bytes()
    settings = open_run(old / "run").settings
    result = tag2mask.train(old / "data", old / "run", resume=True, **settings.model_dump(exclude={"data"}))
    assert result.epochs == 1
    assert (old / "run/model.safetensors").read_bytes() == before


def test_a_segmenter_predicts_the_same(old: Path, tmp_path: Path) -> None:
    # Version 0.1 predicted in float32; now, ``auto`` also means bf16 on CPUs that have it.
    config = old / "segmenter/config.yaml"
    config.write_text(config.read_text().replace("precision: auto", "precision: fp32"))
    made = tag2mask.predict(old / "segmenter", old / "data/images", tmp_path / "predicted")
    assert same_masks(made.path, old / "predicted")
    assert tag2mask.load(old / "segmenter").predict(old / "data/images/p00.png").shape == (48, 48)


def test_a_mask_set_is_scored_converted_and_shown(old: Path, tmp_path: Path) -> None:
    assert tag2mask.evaluate(old / "run/masks-train", old / "data/masks").miou is not None
    tag2mask.convert(old / "run/masks-train", "png", tmp_path / "png")
    page = tag2mask.report(old / "run", out=tmp_path / "report.html")
    assert "<h2>Images, masks, maps</h2>" in page.read_text()


def test_a_segmenter_learns_from_an_old_mask_set(old: Path, tmp_path: Path) -> None:
    result = tag2mask.segment(old / "run", old / "run/masks-train", tmp_path / "student", epochs=1, crop=32)
    assert result.epochs == 1
