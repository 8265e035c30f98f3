"""A segmenter's training: what it leaves, that it learns, goes on exactly, and opens no truth unasked."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from tag2mask.data import Classes, DataSettings
from tag2mask.data.reading import read_mask
from tag2mask.data.writing import write_mask
from tag2mask.errors import DataError, MaskSetError, RunError, SettingsError, Tag2MaskError
from tag2mask.evaluation.evaluate import evaluate
from tag2mask.masks.scores import write_scores
from tag2mask.masks.write import MANIFEST, MaskSetWriter, Painted
from tag2mask.prediction.predict import predict
from tag2mask.prediction.settings import PredictSettings
from tag2mask.segmentation.build import build_segmenter
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.optimiser import optimiser_for, poly_rate
from tag2mask.segmentation.settings import SegmenterOptimiser, SegmentSettings
from tag2mask.segmentation.train import SegmentTrainer, resolve_segmenter, segment
from tag2mask.training.run import open_run
from tag2mask.training.schedule import poly
from tag2mask.workflows.rounds import segment_in_rounds

ORIGIN = {"labels_used": "image tags, given", "truth_used": "none", "settings": {"scores": True}}
CLASSES = Classes(("red", "green", "blue"), "background")


def config(path: Path) -> dict[str, object]:
    return yaml.safe_load((path / "config.yaml").read_text())


def equal(one: Path, other: Path) -> bool:
    a, b = (load_file(path / "model.safetensors") for path in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def rows(path: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in lines]


@pytest.mark.parametrize(("done", "left"), [(0.25, 0.771890), (0.5, 0.535887), (0.9, 0.125893)])
def test_poly(done: float, left: float) -> None:
    assert poly(done, 0.9) == pytest.approx(left, abs=1e-6)


def test_sgd_is_the_papers() -> None:
    settings = SegmenterOptimiser.parse({"kind": "sgd"})
    half = poly_rate(500, 1000, settings)
    assert settings.lr * half == pytest.approx(5.822981e-5, abs=1e-11)
    assert settings.lr * settings.encoder * half == pytest.approx(5.822981e-6, abs=1e-12)
    assert settings.lr * poly_rate(0, 1000, settings) == pytest.approx(1e-4)
    assert (settings.clip, settings.weight_decay) == (None, 0.0)


def test_the_papers_recipe() -> None:
    paper = SegmentSettings.read({"epochs": 2}, ["clipping.tau=1.0"], "voc-weaktr")
    assert (paper.epochs, paper.crop, paper.batch_size, paper.optimiser.kind) == (2, 480, 4, "sgd")
    assert (paper.clipping.tau, paper.clipping.tile, paper.clipping.tiles) == (1.0, 120, "batch")
    wide = {"base": 520, "min_scale": 0.5, "max_scale": 2.0}
    assert paper.augment == SegmentSettings().augment.model_copy(update=wide)
    with pytest.raises(SettingsError, match="has no settings for segment; recipes that do: voc-weaktr"):
        SegmentSettings.read({}, [], "mctformer-v2")


def test_the_default_rises_then_falls() -> None:
    rates = [poly_rate(step, 100, SegmenterOptimiser.parse({})) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[4] == rates[5] == 1.0
    assert rates[99] < 0.03
    assert rates[5:] == sorted(rates[5:], reverse=True)


def test_encoder_and_decoder_have_rates_of_their_own(run: Path) -> None:
    settings = SegmentSettings(backbone=open_run(run).settings.backbone)
    segmenter = build_segmenter(settings, DataSettings(), 4, "none").segmenter
    sgd = optimiser_for(segmenter.parameter_groups(), SegmenterOptimiser.parse({"kind": "sgd"}))
    assert isinstance(sgd, torch.optim.SGD)
    assert all(group["nesterov"] and group["momentum"] == 0.9 for group in sgd.param_groups)
    assert {group["base"] for group in sgd.param_groups} == {1e-4, 1e-5}
    assert sum(len(group["params"]) for group in sgd.param_groups) == len(list(segmenter.parameters()))
    adamw = optimiser_for(segmenter.parameter_groups(), SegmenterOptimiser.parse({}))
    vectors = [p for group in adamw.param_groups if group["weight_decay"] == 0 for p in group["params"]]
    assert all(parameter.ndim <= 1 for parameter in vectors)


def test_settings_come_from_the_run_unless_given(run: Path) -> None:
    opened = open_run(run)
    chosen = resolve_segmenter(SegmentSettings.parse({"crop": 30, "backbone": {"drop_path": 0.0}}), opened)
    assert (chosen.crop, chosen.weights) == (30, "run")
    assert chosen.backbone == opened.settings.backbone.model_copy(update={"image_size": 32, "drop_path": 0.0})
    other = resolve_segmenter(SegmentSettings.parse({"backbone": {"name": "deit_tiny_patch16_224"}}), opened)
    assert (other.backbone.patch, other.weights, other.crop) == (None, "hub", 32)
    assert (chosen.clipping.tile, chosen.clipping.tau) == (8, 0.0)
    with pytest.raises(SettingsError, match=r"unknown setting optimiser\.lrr; did you mean optimiser\.lr\?"):
        SegmentSettings.read({}, ["optimiser.lrr=1"])


def test_labels_are_clipped_if_no_decoder_was_fitted_and_they_are_not_true(run: Path) -> None:
    opened, unfitted = open_run(run), SegmentSettings.parse({"decoder": "mask-transformer"})
    assert resolve_segmenter(unfitted, opened).clipping.tau == pytest.approx(1.2 * math.log(4) / math.log(21))
    assert resolve_segmenter(unfitted, opened, fully_supervised=True).clipping.tau == 0.0
    asked = SegmentSettings.parse({"clipping": {"tau": 0.7}})
    assert resolve_segmenter(asked, opened).clipping.tau == 0.7


def test_a_segmenter_learns_beats_chance_and_opens_no_truth(run: Path, masks: Path, tmp_path: Path) -> None:
    data = run.parent / "squares"
    (data / "masks").rename(tmp_path / "hidden")
    settings = SegmentSettings.parse(
        {"epochs": 30, "batch_size": 4, "precision": "fp32", "optimiser": {"lr": 3e-3, "encoder": 1.0}}
        | {"decoder": "mask-transformer"}
    )
    result = segment(run, masks, tmp_path / "student", settings)
    found = rows(tmp_path / "student")
    assert found[-1]["loss"]["cross_entropy"] < 0.5 * found[0]["loss"]["cross_entropy"]
    assert found[0]["kept"] == 1.0
    assert result.kept < 1.0  # the mean loss is below tau by now
    assert result.kept_precision is None
    assert "precision" not in found[-1]
    predict(tmp_path / "student", [], tmp_path / "predicted", PredictSettings(), "val")
    scores = evaluate(tmp_path / "predicted", tmp_path / "hidden").to_json()
    assert scores["images"] == 4
    assert scores["miou"] > scores["random_miou"] + 20
    assert config(tmp_path / "student")["origin"]["truth_used"] == "none"


def test_a_segmenter_holds_what_later_verbs_need(run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings) -> None:
    result = segment(run, masks, tmp_path / "student", tiny)
    opened = open_segmenter(tmp_path / "student")
    assert (result.images, result.epochs, len(rows(opened.path))) == (8, 2, 2)
    assert opened.classes == open_run(run).classes
    assert (opened.crop, opened.data) == (32, run.parent / "squares")
    assert not opened.load().training
    assert config(opened.path)["kind"] == "segmenter"
    assert opened.origin["labels_used"] == "mask set masks, image tags, given"
    assert set(rows(opened.path)[0]) == {"epoch", "step", "loss", "lr", "kept"}
    with pytest.raises(RunError, match="student is a segmenter, not a run of tag2mask train"):
        open_run(opened.path)
    with pytest.raises(RunError, match="run is a run of tag2mask train; train a segmenter"):
        open_segmenter(run)


@pytest.fixture
def scored(run: Path) -> Path:
    """A finished mask set with scores, as good as truth: planes of 12 x 14 pixels that are nearly sure."""
    data, path, classes = run.parent / "squares", run.parent / "scored", open_run(run).classes
    writer = MaskSetWriter(path, classes, ORIGIN)
    for name in (data / "splits/train.txt").read_text().split():
        labels = read_mask(data / f"masks/{name}.png")
        values = np.unique(labels).tolist()
        true = np.asarray(Image.fromarray(labels.astype(np.uint8)).resize((14, 12), Image.Resampling.NEAREST))
        planes = np.stack([np.where(true == value, 205, 25) for value in (0, *values)]).astype(np.uint8)
        writer.add(
            name, Painted(labels, [classes.pixel_names[value] for value in values], fallback=False, scores=planes)
        )
    writer.finish({})
    return path


def test_soft_labels_are_learned_and_the_segmenter_says_so(run: Path, scored: Path, tmp_path: Path) -> None:
    settings = SegmentSettings.parse(
        {"epochs": 12, "batch_size": 4, "precision": "fp32", "optimiser": {"lr": 3e-3, "encoder": 1.0}}
        | {"target": "soft", "potts": 0.1, "decoder": "mask-transformer"}
    )
    result = segment(run, scored, tmp_path / "student", settings)
    found = [row["loss"] for row in rows(tmp_path / "student")]
    assert list(found[0]) == ["collision", "potts"]
    assert found[-1]["collision"] < 0.8 * found[0]["collision"]
    assert 0 < found[-1]["potts"] < 0.1
    assert result.loss == pytest.approx(sum(found[-1].values()))
    assert result.labels_used == "scores of mask set scored, image tags, given"
    opened = open_segmenter(tmp_path / "student")
    assert (opened.settings.target, opened.settings.potts) == ("soft", 0.1)
    predict(opened.path, [], tmp_path / "predicted", PredictSettings(), "val")
    scores = evaluate(tmp_path / "predicted", run.parent / "squares/masks").to_json()
    assert scores["miou"] > scores["random_miou"]


def test_ignored_pixels_stay_ignored_whatever_their_scores(
    run: Path, scored: Path, tmp_path: Path, tiny: SegmentSettings
) -> None:
    soft = tiny.model_copy(update={"target": "soft"})
    for number, planes in enumerate((np.array([[[255, 0]], [[0, 255]]]), np.array([[[0, 255]], [[255, 0]]]))):
        path = shutil.copytree(scored, tmp_path / f"scored-{number}")
        for name in ("p00", "p01"):
            write_mask(path / f"masks/{name}.png", np.full(read_mask(path / f"masks/{name}.png").shape, 255), CLASSES)
            write_scores(path / f"scores/{name}.png", np.concatenate([planes, planes[:1]]).astype(np.uint8))
        segment(run, path, tmp_path / f"student-{number}", soft)
    assert equal(tmp_path / "student-0", tmp_path / "student-1")


@pytest.mark.parametrize("potts", [0.0, 0.5])
@pytest.mark.parametrize("target", ["hard", "soft"])
def test_neighbours_change_what_is_learned_by_their_weight(
    target: str, potts: float, run: Path, scored: Path, tmp_path: Path, tiny: SegmentSettings
) -> None:
    settings = tiny.model_copy(update={"target": target, "potts": potts})
    segment(run, scored, tmp_path / "student", settings)
    terms = ["cross_entropy" if target == "hard" else "collision", *["potts"] * (potts > 0)]
    assert all(list(row["loss"]) == terms for row in rows(tmp_path / "student"))


def test_soft_labels_go_on_bit_for_bit(
    run: Path, scored: Path, tmp_path: Path, tiny: SegmentSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny.model_copy(update={"target": "soft", "potts": 0.2})
    segment(run, scored, tmp_path / "whole", settings)
    step = SegmentTrainer.step

    def interrupted(self: SegmentTrainer, *batch: torch.Tensor) -> bool:
        moved = step(self, *batch)
        if self.state.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return moved

    with monkeypatch.context() as patch:
        patch.setattr(SegmentTrainer, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            segment(run, scored, tmp_path / "halved", settings)
    with pytest.raises(RunError, match="was begun with target = soft, not hard"):
        segment(run, scored, tmp_path / "halved", tiny.model_copy(update={"potts": 0.2}), resume=True)
    segment(run, scored, tmp_path / "halved", settings, resume=True)
    assert equal(tmp_path / "whole", tmp_path / "halved")
    assert rows(tmp_path / "whole") == rows(tmp_path / "halved")


def test_soft_labels_that_are_not_there_are_one_line(
    run: Path, masks: Path, scored: Path, tmp_path: Path, tiny: SegmentSettings
) -> None:
    soft, truth = tiny.model_copy(update={"target": "soft"}), run.parent / "squares/masks"
    with pytest.raises(MaskSetError, match="masks has masks but no scores: make it with tag2mask masks --scores"):
        segment(run, masks, tmp_path / "student", soft)
    with pytest.raises(SettingsError, match="--target soft learns a mask set's scores, but --fully-supervised learns"):
        segment(run, scored, tmp_path / "student", soft, truth, fully_supervised=True)
    with pytest.raises(SettingsError, match="--rounds 2 repaints masks without scores: remove --target soft"):
        segment_in_rounds(run, scored, tmp_path / "student", soft, rounds=2)
    with pytest.raises(SettingsError, match="target: expected 'hard' or 'soft'"):
        SegmentSettings.read({"target": "softer"})
    (scored / "scores/p03.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"scores/p03\.png: is not an image"):
        segment(run, scored, tmp_path / "student", soft)
    (scored / "scores/p03.png").unlink()
    with pytest.raises(MaskSetError, match=r"the scores of 1 of 8 images are missing, such as .*scores/p03\.png: run"):
        segment(run, scored, tmp_path / "student", soft)
    assert not (tmp_path / "student").exists()


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_resumed_after_any_step_it_is_the_uninterrupted_one_bit_for_bit(
    run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = run.parent / "squares/masks"
    segment(run, masks, tmp_path / "whole", tiny, truth)
    step = SegmentTrainer.step

    def interrupted(self: SegmentTrainer, *batch: torch.Tensor) -> bool:
        moved = step(self, *batch)
        if self.state.step == stop:
            os.kill(os.getpid(), signal.SIGINT)
        return moved

    with monkeypatch.context() as patch:
        patch.setattr(SegmentTrainer, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            segment(run, masks, tmp_path / "halved", tiny, truth)
    segment(run, masks, tmp_path / "halved", tiny, truth, resume=True)
    assert equal(tmp_path / "whole", tmp_path / "halved")
    assert rows(tmp_path / "whole") == rows(tmp_path / "halved")


def test_truth_for_scoring_gives_the_precision_of_labels_and_changes_no_weight(
    run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings
) -> None:
    truth = run.parent / "squares/masks"
    segment(run, masks, tmp_path / "blind", tiny)
    result = segment(run, masks, tmp_path / "scored", tiny, truth)
    assert result.kept_precision == 1.0  # these masks are the truth
    assert [row["precision"] for row in rows(tmp_path / "scored")] == [1.0, 1.0]
    assert config(tmp_path / "scored")["origin"]["truth_used"].startswith("scoring: the precision of the labels")
    assert equal(tmp_path / "blind", tmp_path / "scored")


def test_fully_supervised_learns_from_truth_and_says_so(
    run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings
) -> None:
    truth = run.parent / "squares/masks"
    alone = segment(run, None, tmp_path / "alone", tiny, truth, fully_supervised=True)
    assert (alone.images, alone.labels_used) == (8, "truth, fully supervised")
    keep(masks, "p03")
    same = segment(run, masks, tmp_path / "same", tiny, truth, fully_supervised=True)
    assert same.images == 1
    assert config(tmp_path / "same")["origin"]["truth_used"] == "training: all labels are truth"
    made = predict(tmp_path / "alone", [], tmp_path / "out", PredictSettings(), "val")
    manifest = json.loads((made.path / MANIFEST).read_text())
    assert manifest["truth_used"] == "training: all labels are truth"
    assert manifest["labels_used"] == "none here; the segmenter learned from: truth, fully supervised"


def test_what_a_mask_set_owes_to_truth_is_handed_on(
    run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings
) -> None:
    manifest = json.loads((masks / MANIFEST).read_text())
    manifest["truth_used"] = "background threshold tuned on the truth of split val"
    (masks / MANIFEST).write_text(json.dumps(manifest))
    assert segment(run, masks, tmp_path / "student", tiny).truth_used == manifest["truth_used"]


def keep(masks: Path, *names: str) -> None:
    """Take all other masks out of a mask set."""
    manifest = json.loads((masks / MANIFEST).read_text())
    tags = {name: tags for name, tags in manifest["image_tags"].items() if name in names}
    (masks / MANIFEST).write_text(json.dumps({**manifest, "image_tags": tags}))
    for path in (masks / "masks").iterdir():
        if path.stem not in names:
            path.unlink()


def spoil(kind: str, run: Path, masks: Path) -> None:
    """Make one thing wrong."""
    manifest = json.loads((masks / MANIFEST).read_text())
    if kind == "unfinished":
        (masks / MANIFEST).write_text(json.dumps({**manifest, "complete": False}))
    elif kind == "classes":
        (masks / "classes.json").write_text(json.dumps({"names": ["cat", "dog"], "background": None}))
        tags = {name: ["cat"] for name in manifest["image_tags"]}
        (masks / MANIFEST).write_text(json.dumps({**manifest, "image_tags": tags}))
    elif kind == "image":
        shutil.copy(masks / "masks/p00.png", masks / "masks/other.png")
    elif kind == "empty":
        keep(masks)
    elif kind == "deleted":
        (masks / "masks/p01.png").unlink()
    elif kind == "full":
        (run.parent / "student").mkdir()
        (run.parent / "student/mine.txt").write_text("mine")


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("unfinished", MaskSetError, "masks is not finished: run the same tag2mask command again"),
        ("classes", MaskSetError, r"other classes than the run: cat, dog instead of background, red, green, blue"),
        ("image", DataError, r"other\.png: its image other is missing from"),
        ("empty", MaskSetError, "masks holds no mask"),
        ("deleted", MaskSetError, r"1 of the 8 masks .* are missing, such as .*p01\.png"),
        ("full", RunError, "student is not empty; choose another --out, or continue with --resume"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_no_folder(
    kind: str,
    error: type[Tag2MaskError],
    message: str,
    run: Path,
    masks: Path,
    tmp_path: Path,
    tiny: SegmentSettings,
) -> None:
    spoil(kind, run, masks)
    with pytest.raises(error, match=message):
        segment(run, masks, tmp_path / "student", tiny)
    assert kind == "full" or not (tmp_path / "student").exists()


def test_options_that_contradict_each_other(run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings) -> None:
    with pytest.raises(SettingsError, match="--fully-supervised learns from truth: name its folder with --truth DIR"):
        segment(run, masks, tmp_path / "student", tiny, fully_supervised=True)
    with pytest.raises(SettingsError, match="--masks MASKSET is missing"):
        segment(run, None, tmp_path / "student", tiny)
    with pytest.raises(DataError, match="there is no such folder"):
        segment(run, masks, tmp_path / "student", tiny, tmp_path / "none")
    for fully_supervised in (False, True):
        with pytest.raises(DataError, match="splits: holds no truth for any of the 8 images"):
            segment(run, masks, tmp_path / "student", tiny, run.parent / "squares/splits", fully_supervised)
    with pytest.raises(RunError, match="student is not a segmenter"):
        segment(run, masks, tmp_path / "student", tiny, resume=True)


def test_resuming_with_other_labels_or_settings_names_them(
    run: Path, masks: Path, tmp_path: Path, tiny: SegmentSettings
) -> None:
    segment(run, masks, tmp_path / "student", tiny)
    with pytest.raises(RunError, match="was begun with epochs = 2, not 3"):
        segment(run, masks, tmp_path / "student", tiny.model_copy(update={"epochs": 3}), resume=True)
    with pytest.raises(RunError, match="was begun with truth_used = none, not"):
        segment(run, masks, tmp_path / "student", tiny, run.parent / "squares/masks", resume=True)
