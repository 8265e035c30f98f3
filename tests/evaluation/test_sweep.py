"""The one-pass sweep against painting and scoring at every threshold."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tag2mask import evaluate, make_masks
from tag2mask.errors import DataError, SettingsError
from tag2mask.evaluation.confusion import confusion
from tag2mask.evaluation.iou import score_table
from tag2mask.evaluation.sweep import BINS, ThresholdSweep, tune_background
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import open_mask_set


def test_every_threshold_is_what_counting_gives() -> None:
    generator = np.random.default_rng(0)
    sweep, truths, bests, found = ThresholdSweep(4, 255), [], [], []
    for _ in range(3):
        truth = generator.integers(0, 4, (20, 30))
        truth[:2] = 255
        best = generator.integers(0, BINS, truth.shape) / BINS + 0.5 / BINS
        labels = generator.integers(1, 4, truth.shape)
        sweep.add(best, labels, truth)
        truths.append(truth)
        bests.append(best)
        found.append(labels)
    miou = sweep.miou()
    for t in (0, 1, 250, 500, 999):
        counts = sum(
            confusion(truth, np.where(best >= t / BINS, labels, 0), 4, 255)
            for truth, best, labels in zip(truths, bests, found, strict=True)
        )
        assert miou[t] == pytest.approx(score_table(counts).miou)


def test_tuning_is_at_least_as_good_and_the_manifest_says_so(trained: Path, tmp_path: Path) -> None:
    run, truth = trained / "run", trained / "squares/masks"
    tuned = tune_background(run, None, MaskSettings(), "val")
    plain = make_masks(run, out=tmp_path / "plain", split="val")
    assert tuned.miou >= evaluate(plain.path, truth).to_json()["miou"] - 1.0
    made = make_masks(run, out=tmp_path / "tuned", split="val", background=tuned.settings.paint.background.model_dump())
    scored = evaluate(made.path, truth).to_json()["miou"]
    assert scored == pytest.approx(tuned.miou, abs=1.0)  # pixels at a bin's edge
    assert open_mask_set(made.path).manifest["truth_used"] == "background threshold tuned on the truth of split val"


def test_what_cannot_be_tuned(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no threshold to tune"):
        tune_background(trained / "run", None, MaskSettings.parse({"background": {"policy": "none"}}), "val")
    data = shutil.copytree(trained / "squares", tmp_path / "squares")
    shutil.rmtree(data / "masks")
    with pytest.raises(DataError, match="no image of split val has truth"):
        tune_background(trained / "run", data, MaskSettings(), "val")


def test_truth_of_another_size_is_named(run: Path) -> None:
    Image.new("L", (3, 5)).save(run.parent / "squares/masks/p00.png")
    with pytest.raises(DataError, match=r"p00\.png: is 3 x 5 pixels, but its image is "):
        tune_background(run, None, MaskSettings(), "train")
