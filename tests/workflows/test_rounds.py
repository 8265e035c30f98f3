"""Self-training in rounds: what is where, what it is allowed to know, and that it goes on exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from command import call
from tag2mask.data.reading import read_mask
from tag2mask.errors import DataError, MaskSetError, RunError, SettingsError
from tag2mask.evaluation.evaluate import evaluate
from tag2mask.files import begin
from tag2mask.masks.corrections import Corrections, Origin
from tag2mask.masks.packed import labels_in
from tag2mask.masks.write import MANIFEST, MaskSetWriter, open_finished
from tag2mask.prediction.predict import predict
from tag2mask.prediction.settings import PredictSettings
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.segmentation.sources import LabelSource
from tag2mask.segmentation.train import SegmentResult, SegmentTrainer, segment
from tag2mask.training.run import Run
from tag2mask.training.start import HEADER
from tag2mask.workflows import rounds as module
from tag2mask.workflows.rounds import segment_in_rounds


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "model.safetensors")


def equal(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_each_round_learns_what_the_one_before_repainted(
    run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings
) -> None:
    truth, out = run.parent / "squares/masks", tmp_path / "out"
    result = segment_in_rounds(run, masks, out, tiny, 3, truth)
    segment(run, masks, tmp_path / "single", tiny, truth)
    assert equal(tmp_path / "single", out / "round-1")
    for number, folder in ((1, out / "round-1"), (2, out / "round-2")):
        repainted = open_finished(folder / "repainted")
        assert repainted.names() == open_finished(masks).names()
        # All are tagged red: green and blue are forbidden, background never is.
        found = [set(np.unique(read_mask(repainted.mask(name))).tolist()) for name in repainted.names()]
        assert all(values <= {0, 1} for values in found)
        assert repainted.manifest["image_tags"] == {name: ["red"] for name in repainted.names()}
        assert repainted.manifest["labels_used"] == f"image tags, given, repainted by round-{number}"
        assert repainted.manifest["data"] == str(run.parent / "squares")
        assert repainted.manifest["truth_used"] == "scoring: the precision of the labels, epoch by epoch"
    last = open_segmenter(out)
    assert last.origin["labels_used"] == "mask set repainted, image tags, given, repainted by round-2"
    assert last.origin["masks"]["path"] == str(out / "round-2/repainted")
    assert last.origin["truth_used"] == "scoring: the precision of the labels, epoch by epoch"
    assert predict(out, [], tmp_path / "predicted", PredictSettings(), "val").images == 4
    assert [row["round"] for row in result.rounds] == [1, 2, 3]
    assert json.loads((out / "rounds.json").read_text()) == {"rounds": 3, "finished": list(result.rounds)}


def test_corrections_hold_in_every_round(
    run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, seen = open_finished(masks), []
    store = Corrections(tmp_path / "corrections", Origin("masks", "key", opened.classes))
    corrected, rejected = opened.names()[:2]
    labels = np.full_like(read_mask(masks / f"masks/{corrected}.png"), 3)
    store.save_mask(corrected, labels, labels == 3, store.etag(corrected))
    store.save_state(rejected, "rejected", store.etag(rejected))
    train = module.train_segmenter

    def noted(run: Run, source: LabelSource, *more: Any) -> SegmentResult:
        seen.append(source)
        return train(run, source, *more)

    monkeypatch.setattr(module, "train_segmenter", noted)
    segment_in_rounds(run, masks, tmp_path / "out", tiny, 2, corrections=store.path)
    for source in seen:
        assert [one.name for one in source.images] == [name for name in opened.names() if name != rejected]
        np.testing.assert_array_equal(labels_in(source.images[0].labels), labels)
    assert len(seen) == 2
    assert open_finished(tmp_path / "out/round-1/repainted").names() == [one.name for one in seen[0].images]


def test_the_scores_are_those_of_evaluate_and_change_nothing(
    run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings
) -> None:
    truth = run.parent / "squares/masks"
    scored = segment_in_rounds(run, masks, tmp_path / "scored", tiny, 2, truth).rounds
    assert scored[0]["precision"] == 100.0  # these masks are the truth
    assert scored[1]["precision"] == evaluate(tmp_path / "scored/round-1/repainted", truth).to_json()["pixel_accuracy"]
    for row, folder in zip(scored, (tmp_path / "scored/round-1", tmp_path / "scored"), strict=True):
        assert row["val_miou"] == evaluate(folder / "predicted-val", truth).to_json()["miou"]
    truth.rename(run.parent / "squares/hidden")
    blind = segment_in_rounds(run, masks, tmp_path / "blind", tiny, 2).rounds
    assert equal(tmp_path / "scored", tmp_path / "blind")
    assert [(row["precision"], row["val_miou"]) for row in blind] == [(None, None)] * 2
    assert blind[0]["changed"] is None
    # The masks given are the truth: what differs from them is what is wrong.
    assert blind[1]["changed"] == pytest.approx(100 - scored[1]["precision"], abs=0.011)
    assert not (tmp_path / "blind/predicted-val").exists()


@pytest.mark.parametrize("where", ["round 1", "repainting", "round 2"])
def test_interrupted_anywhere_it_goes_on_exactly(
    run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, halved = tmp_path / "whole/out", tmp_path / "halved/out"
    segment_in_rounds(run, masks, whole, tiny, 2)
    step, add, done = SegmentTrainer.step, MaskSetWriter.add, {"steps": 0, "masks": 0}

    def stepped(self: SegmentTrainer, *batch: torch.Tensor) -> bool:
        moved = step(self, *batch)
        done["steps"] += 1
        self.interrupt.asked = done["steps"] == {"round 1": 3, "round 2": 5}.get(where)
        return moved

    def added(self: MaskSetWriter, *mask: object, **more: object) -> None:
        add(self, *mask, **more)
        done["masks"] += 1
        if where == "repainting" and done["masks"] == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SegmentTrainer, "step", stepped)
        patch.setattr(MaskSetWriter, "add", added)
        with pytest.raises(KeyboardInterrupt):
            segment_in_rounds(run, masks, halved, tiny, 2)
    result = segment_in_rounds(run, masks, halved, tiny, 2, resume=True)
    assert equal(whole, halved)
    assert equal(whole / "round-1", halved / "round-1")
    manifests = [(path / "round-1/repainted" / MANIFEST).read_bytes() for path in (whole, halved)]
    assert manifests[0] == manifests[1]
    again = segment_in_rounds(run, masks, halved, tiny, 2, resume=True)  # finished: nothing is made anew
    assert again.rounds == result.rounds
    assert (halved / "round-1/repainted" / MANIFEST).read_bytes() == manifests[0]


def test_a_round_that_was_killed_before_its_first_state_starts_anew(
    run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings
) -> None:
    segment_in_rounds(run, masks, tmp_path / "out", tiny, 2)
    before = weights(tmp_path / "out")
    for name in ("state.safetensors", "model.safetensors", "metrics.jsonl"):
        (tmp_path / "out" / name).unlink()
    begin(tmp_path / "out", HEADER)  # as the killed process left it
    segment_in_rounds(run, masks, tmp_path / "out", tiny, 2, resume=True)
    assert all(torch.equal(before[key], value) for key, value in weights(tmp_path / "out").items())


def test_mistakes_are_named_before_anything_is_written(
    run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings
) -> None:
    truth, out = run.parent / "squares/masks", tmp_path / "out"
    for rounds, more, message in (
        (0, {}, "--rounds 0: expected 1 or more"),
        (2, {"fully_supervised": True, "truth": truth}, "--rounds 2: expected --masks MASKSET to repaint"),
        (1, {"val_truth": truth}, "--val-truth scores rounds: use --rounds 2 or more"),
    ):
        with pytest.raises(SettingsError, match=message):
            segment_in_rounds(run, masks, out, tiny, rounds, **more)
    with pytest.raises(DataError, match="splits: holds the truth of none of the 4 images of the run's split val"):
        segment_in_rounds(run, masks, out, tiny, 2, val_truth=run.parent / "squares/splits")
    with pytest.raises(RunError, match="out: has no round to resume"):
        segment_in_rounds(run, masks, out, tiny, 2, resume=True)
    manifest = json.loads((masks / MANIFEST).read_text())
    del manifest["image_tags"]["p03"]
    (masks / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(MaskSetError, match="masks: its manifest has no image_tags for p03"):
        segment_in_rounds(run, masks, out, tiny, 2)
    assert not out.exists()


def test_rounds_are_resumed_with_the_same_number(run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings) -> None:
    segment_in_rounds(run, masks, tmp_path / "out", tiny, 2)
    with pytest.raises(RunError, match="out was begun with --rounds 2, not 3"):
        segment_in_rounds(run, masks, tmp_path / "out", tiny, 3, resume=True)
    with pytest.raises(RunError, match="out is not empty"):
        segment_in_rounds(run, masks, tmp_path / "out", tiny, 2)


def test_truth_of_training_images_alone_scores_no_validation(
    run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings
) -> None:
    assert module.validation_truth(module.open_run(run), masks / "masks", None) == (None, "val")


def test_the_command_prints_a_table_of_rounds(
    run: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("segment", run, "--masks", masks, "--epochs", 1, "--rounds", 2, "--set", "precision=fp32")
    truth = run.parent / "squares/masks"
    assert call(monkeypatch, *words, "--out", tmp_path / "out", "--val-truth", truth) == 0
    printed = capsys.readouterr().out
    assert "val mIoU" in printed
    assert call(monkeypatch, *words, "--out", tmp_path / "out", "--val-truth", truth, "--resume", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["rounds"]
    assert all(f"{row['val_miou']:.1f}" in printed for row in rows)
    assert [row["precision"] for row in rows] == [None, None]
