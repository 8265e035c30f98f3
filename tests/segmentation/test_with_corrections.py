"""Corrections in training and scoring: what people set replaces what was painted, and counts fully."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tag2mask import convert, evaluate
from tag2mask.data.reading import read_mask
from tag2mask.errors import MaskSetError, RunError, SettingsError
from tag2mask.masks.corrections import PENDING, Corrections, Origin, beside
from tag2mask.masks.packed import labels_in
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import open_mask_set
from tag2mask.painting.make import make_masks
from tag2mask.segmentation.clipping import clipped_loss, thresholds
from tag2mask.segmentation.crops import CORRECTED, PAINTED, TOUCHED, LabelledCrops
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.settings import CropSettings, SegmentSettings
from tag2mask.segmentation.sources import open_labels
from tag2mask.segmentation.train import segment
from tag2mask.training.run import open_run


@pytest.fixture
def painted(run: Path) -> Path:
    make_masks(run, settings=MaskSettings.parse({"scores": True}))
    return run / "masks-train"


@pytest.fixture
def store(painted: Path) -> Corrections:
    return Corrections(beside(painted), Origin("masks-train", "key", open_mask_set(painted).classes), "ann")


def correct(store: Corrections, painted: Path, name: str, touched: float = 1.0) -> None:
    """Replace a mask by the truth; the upper part counts as touched."""
    labels = read_mask(painted.parent.parent / f"squares/masks/{name}.png")
    rows = np.arange(labels.shape[0])[:, None] < touched * labels.shape[0]
    store.save_mask(name, labels, rows & np.ones(labels.shape, bool), store.etag(name))


def test_corrected_masks_are_scored(store: Corrections, painted: Path) -> None:
    truth = painted.parent.parent / "squares/masks"
    before = evaluate(painted, truth)
    for name in open_mask_set(painted).names():
        correct(store, painted, name)
    after = evaluate(painted, truth, corrections=store.path)
    assert (before.corrected, after.corrected, after.miou) == (0, 8, 100)
    assert before.miou is not None
    assert before.miou < 100
    assert evaluate(painted, truth).miou == before.miou


def test_segment_learns_corrected_masks_and_leaves_out_rejected_ones(store: Corrections, painted: Path) -> None:
    names = open_mask_set(painted).names()
    correct(store, painted, names[1])
    store.save_state(names[0], "rejected", store.etag(names[0]))
    run = open_run(painted.parent)
    source = open_labels(run, painted, None, False, "train", corrections=store.path)
    assert [one.name for one in source.images] == names[1:]
    corrected, other = source.images[0], source.images[1]
    np.testing.assert_array_equal(labels_in(corrected.labels), store.labels(names[1]))
    assert corrected.touched is not None
    assert other.touched is None
    assert other.labels == open_mask_set(painted).mask(names[2])
    entry = source.origin["corrections"]
    assert (entry["corrected"], entry["rejected"], entry["people"]) == (1, 1, ["ann"])
    assert source.origin["labels_used"].endswith("; 1 mask corrected by people, 1 rejected image left out")


def test_a_correction_during_training_changes_nothing(store: Corrections, painted: Path) -> None:
    name = open_mask_set(painted).names()[0]
    correct(store, painted, name)
    source = open_labels(open_run(painted.parent), painted, None, False, "train", corrections=store.path)
    before = labels_in(source.images[0].labels)
    store.save_mask(name, np.zeros_like(before), np.ones(before.shape, bool), store.etag(name))
    np.testing.assert_array_equal(labels_in(source.images[0].labels), before)


@pytest.mark.parametrize("target", ["hard", "soft"])
def test_crops_say_how_labels_are_meant(store: Corrections, painted: Path, target: str) -> None:
    names = open_mask_set(painted).names()
    correct(store, painted, names[0], touched=0.5)
    run = open_run(painted.parent)
    source = open_labels(run, painted, None, False, "train", target, store.path)  # type: ignore[arg-type]
    still = CropSettings(base=48, min_scale=1, max_scale=1, flip=0, distort=0)
    crops = LabelledCrops(source.images, run.classes, 64, run.settings.data, run.mean, run.std, still)
    labels, _, meant = crops[0, 0].labels
    height, width = crops[0, 0].size.tolist()
    assert (meant[: height // 2, :width] == TOUCHED).all()
    assert (meant[height // 2 : height, :width] == CORRECTED).all()
    np.testing.assert_array_equal(labels[:height, :width], store.labels(names[0]))
    assert (crops[0, 1].labels[2, :height, :width] == PAINTED).all()


def test_touched_pixels_are_never_clipped() -> None:
    energy = torch.tensor([[[0.1, 0.1, 0.1, 5.0]]])
    labelled, sure = torch.ones(1, 1, 4, dtype=torch.bool), torch.tensor([[[False, False, False, True]]])
    clipped, kept = (
        clipped_loss(energy, labelled, thresholds(energy, labelled, 9.0, 4, sure_BYX=each), labelled.sum())
        for each in (None, sure)
    )
    assert not clipped.kept_BYX[0, 0, 3]
    assert kept.kept_BYX.all()
    assert kept.loss == pytest.approx(float(energy.mean()))


@pytest.mark.parametrize("target", ["hard", "soft"])
def test_training_with_corrections_goes_on_only_with_the_same(
    store: Corrections, painted: Path, tmp_path: Path, tiny: SegmentSettings, target: str
) -> None:
    settings = tiny.model_copy(update={"target": target, "epochs": 1})
    correct(store, painted, open_mask_set(painted).names()[0])
    out = tmp_path / "segmenter"
    result = segment(painted.parent, painted, out, settings, corrections=store.path)
    assert np.isfinite(result.loss)
    assert open_segmenter(out).origin["corrections"]["corrected"] == 1
    correct(store, painted, open_mask_set(painted).names()[0], touched=0.3)
    with pytest.raises(RunError, match=r"was begun with corrections\.sha256"):
        segment(painted.parent, painted, out, settings, resume=True, corrections=store.path)


def test_convert_writes_corrected_masks(store: Corrections, painted: Path, tmp_path: Path) -> None:
    names = open_mask_set(painted).names()
    correct(store, painted, names[0])
    store.save_state(names[1], "rejected", store.etag(names[1]))
    convert(painted, "png", tmp_path / "png", corrections=store.path)
    np.testing.assert_array_equal(read_mask(tmp_path / f"png/{names[0]}.png"), store.labels(names[0]))
    assert not (tmp_path / f"png/{names[1]}.png").exists()
    assert (tmp_path / f"png/{names[2]}.png").exists()


def test_a_save_that_was_killed_is_finished_first(
    store: Corrections, painted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = open_mask_set(painted).names()[0]
    correct(store, painted, name)
    monkeypatch.setattr(Corrections, "finish_save", lambda self: None)
    labels = store.labels(name)
    assert labels is not None
    store.save_mask(name, np.zeros_like(labels), np.ones(labels.shape, bool), store.etag(name))
    monkeypatch.undo()
    assert (store.path / PENDING).exists()
    assert evaluate(painted, painted.parent.parent / "squares/masks", corrections=store.path).corrected == 1
    assert not (store.path / PENDING).exists()
    assert (read_mask(store.path / f"masks/{name}.png") == 0).all()


def test_wrong_corrections_are_one_line(store: Corrections, painted: Path, tmp_path: Path) -> None:
    truth, run = painted.parent.parent / "squares/masks", open_run(painted.parent)
    with pytest.raises(MaskSetError, match="holds no corrections"):
        evaluate(painted, truth, corrections=tmp_path)
    name = open_mask_set(painted).names()[0]
    correct(store, painted, name)
    with pytest.raises(SettingsError, match="--masks"):
        open_labels(run, painted, truth, True, "train", corrections=store.path)
    (store.path / f"masks/{name}.png").unlink()
    with pytest.raises(MaskSetError, match="cannot be read"):
        evaluate(painted, truth, corrections=store.path)


def test_all_images_rejected_is_an_error(store: Corrections, painted: Path) -> None:
    for name in open_mask_set(painted).names():
        store.save_state(name, "rejected", store.etag(name))
    with pytest.raises(MaskSetError, match="are rejected"):
        open_labels(open_run(painted.parent), painted, None, False, "train", corrections=store.path)
    record = json.loads((store.path / "corrections.json").read_text())
    assert {row["state"] for row in record["images"].values()} == {"rejected"}
