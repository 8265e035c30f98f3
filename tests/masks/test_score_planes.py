"""Scores beside masks: what they say, how they lie on disk, how they are gone on with, and pixels that are unsure."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tag2mask import make_masks
from tag2mask.data import Classes
from tag2mask.data.reading import read_mask
from tag2mask.errors import DataError, MaskSetError, SettingsError
from tag2mask.masks.brush import Brush
from tag2mask.masks.paint import label_shares
from tag2mask.masks.scores import ScoreFile, score_path, write_scores
from tag2mask.masks.settings import MaskSettings, PaintSettings
from tag2mask.masks.write import MaskSet, MaskSetWriter, Painted, open_finished, open_mask_set
from tag2mask.painting.painter import Painter
from tag2mask.training.run import open_run

CLASSES, BARE_CLASSES = Classes(("cat", "dog"), "background"), Classes(("cat", "dog"))
SCORED = {"settings": {"scores": True}}
PLANES = np.array([[[255, 0, 51]], [[0, 255, 204]]], np.uint8)
# How the class maps become scores that compete.
WAYS: dict[str, dict[str, Any]] = {
    "class maps": {},
    "another threshold": {"background": {"value": "mean"}},
    "a power": {"background": {"policy": "power", "value": 4.0}},
    "no background": {"background": {"policy": "none"}},
    "pamr": {"refine": "pamr"},
    "crf": {"refine": "crf"},
    "two looks": {"scales": (1.0, 1.5), "flip": True},
}


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "run", tmp_path / "run"))


def files(masks: MaskSet) -> dict[str, ScoreFile]:
    return masks.scores(masks.names())


def test_scores_become_shares() -> None:
    scores = np.array([[[0.1, 0.0]], [[0.3, 0.0]], [[0.0, 0.0]]])
    squared = label_shares(scores, probable=False)
    np.testing.assert_allclose(squared[:, 0, 0], [0.1, 0.9, 0.0])
    np.testing.assert_allclose(label_shares(scores, probable=True)[:, 0, 0], [0.25, 0.75, 0.0])
    np.testing.assert_allclose(squared[:, 0, 1], [1 / 3] * 3)
    assert label_shares(np.zeros((0, 2, 3)), probable=False).shape == (0, 2, 3)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_painting_leaves_shares_that_agree_with_its_masks(run: Path, way: str) -> None:
    made = open_finished(make_masks(run, split="val", out=run / "set", scores=True, **WAYS[way]).path)
    plain = open_finished(make_masks(run, split="val", out=run / "plain", **WAYS[way]).path)
    assert made.manifest["settings"]["scores"] is True
    assert not (run / "plain/scores").exists()
    agreeing = []
    for name, scores in files(made).items():
        planes = scores.read()
        tags = [made.classes.names.index(tag) + 1 for tag in made.manifest["image_tags"][name]]
        assert scores.values == (0, *tags)
        assert (abs(planes.sum(0, dtype=int) - 255) <= 1).all()
        assert way != "no background" or not planes[0].any()
        labels = read_mask(made.mask(name))
        assert np.array_equal(labels, read_mask(plain.mask(name)))
        grown = F.interpolate(torch.from_numpy(planes)[None].float(), labels.shape, mode="bilinear")[0]
        agreeing.append((np.asarray(scores.values)[grown.argmax(0).numpy()] == labels).mean())
    assert np.mean(agreeing) > 0.7


def test_planes_are_means_over_patches_and_cover_the_image_alone(run: Path) -> None:
    """45 x 70 pixels with a short side of 32 and patches of 8 are 4 x 6.2 patches; 6 columns cover all of it."""
    painter = Painter(open_run(run), MaskSettings(scores=True))
    shares = np.zeros((2, 45, 70), np.float32)
    shares[1, :, 60:] = 1
    shares[0] = 1 - shares[1]
    planes = painter.planes(shares, [2])
    assert planes is not None
    assert planes.shape == (2, 4, 6)
    assert planes[1, 0].tolist() == [0, 0, 0, 0, 0, 212]  # of columns 58 to 69 the last ten
    painter = Painter(open_run(run), MaskSettings(scores=True, scales=(1.0, 2.0)))
    planes = painter.planes(shares, [2])
    assert planes is not None
    assert planes.shape == (2, 8, 12)


@pytest.mark.parametrize(("classes", "values"), [(CLASSES, (0, 1)), (BARE_CLASSES, (0, 1))])
def test_what_is_written_is_read(tmp_path: Path, classes: Classes, values: tuple[int, ...]) -> None:
    writer = MaskSetWriter(tmp_path / "set", classes, SCORED)
    tags = ["cat"] if classes.background else ["cat", "dog"]
    writer.add("deep/a", Painted(np.zeros((3, 5), np.int64), tags, fallback=False, scores=PLANES))
    writer.finish({})
    [scores] = files(open_finished(tmp_path / "set")).values()
    assert scores.path == tmp_path / "set/scores/deep/a.png"
    assert scores.values == values
    assert np.array_equal(scores.read(), PLANES)
    assert Image.open(scores.path).mode == "L"


def test_an_image_without_anything_that_competes_has_no_file(tmp_path: Path) -> None:
    writer = MaskSetWriter(tmp_path / "set", BARE_CLASSES, SCORED)
    writer.add("a", Painted(np.full((3, 5), 255, np.int64), [], fallback=False))
    assert writer.has("a")
    writer.finish({})
    [scores] = files(open_finished(tmp_path / "set")).values()
    assert (scores.values, scores.read().shape) == ((), (0, 1, 1))


def test_an_image_without_tags_is_background_for_sure(run: Path, trained: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(trained / "squares", tmp_path / "data"))
    table = (data / "labels.csv").read_text().splitlines()
    (data / "labels.csv").write_text("\n".join(line if "p08" not in line else "p08.png," for line in table) + "\n")
    made = open_finished(make_masks(run, data, tmp_path / "set", split="val", scores=True, refine="crf").path)
    assert (files(made)["p08"].read() == 255).all()


def test_stopped_between_scores_and_row_it_ends_the_same(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_masks(run, out=run / "whole", batch_size=1, scores=True)
    add, calls = MaskSetWriter.add, []

    def interrupted(self: MaskSetWriter, *mask: Any) -> None:
        calls.append(mask)
        if len(calls) == 4:
            write_scores(score_path(self.path, mask[0]), mask[1].scores)
            raise KeyboardInterrupt
        add(self, *mask)

    with monkeypatch.context() as patch:
        patch.setattr(MaskSetWriter, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_masks(run, out=run / "halved", batch_size=1, scores=True)
    before = {path: path.stat().st_mtime_ns for path in (run / "halved/masks").iterdir()}
    assert len(before) == 3
    make_masks(run, out=run / "halved", batch_size=1, scores=True)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    whole, halved = open_finished(run / "whole"), open_finished(run / "halved")
    assert whole.manifest == halved.manifest
    for name, scores in files(whole).items():
        assert scores.path.read_bytes() == files(halved)[name].path.read_bytes()


@pytest.mark.parametrize("damage", ["deleted", "empty"])
def test_scores_that_are_gone_are_made_anew(run: Path, damage: str) -> None:
    make_masks(run, split="val", scores=True)
    made = open_finished(run / "masks-val")
    path = files(made)["p09"].path
    before = path.read_bytes()
    path.write_bytes(b"")
    if damage == "deleted":
        path.unlink()
        with pytest.raises(MaskSetError, match=r"the scores of 1 of 4 images are missing, such as .*scores/p09\.png"):
            files(made)
    make_masks(run, split="val", scores=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("pixels", [np.zeros((3, 4), np.uint8), np.full((4, 4), 256, np.uint16)])
def test_what_is_no_stack_of_planes_is_one_line(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: is not a stack of 2 8-bit planes"):
        ScoreFile(tmp_path / "a.png", (0, 1)).read()
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a\.png: is not an image"):
        ScoreFile(tmp_path / "a.png", (0, 1)).read()


def test_names_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="points outside"):
        score_path(tmp_path, "../../a")


def test_a_set_without_scores_is_not_gone_on_with_scores(run: Path) -> None:
    make_masks(run, split="val")
    with pytest.raises(MaskSetError, match="has masks but no scores: make it with tag2mask masks --scores"):
        files(open_mask_set(run / "masks-val"))
    with pytest.raises(MaskSetError, match=r"was begun with settings\.scores = False, not True"):
        make_masks(run, split="val", scores=True)


@pytest.mark.parametrize("way", WAYS)
def test_pixels_of_unsure_class_are_ignored_and_no_others(run: Path, way: str) -> None:
    def labels(unsure: float | None) -> list[np.ndarray]:
        out = run / f"unsure-{unsure}"
        made = open_finished(make_masks(run, split="val", out=out, unsure=unsure, **WAYS[way]).path)
        return [read_mask(made.mask(name)) for name in made.names()]

    plain, never, half, most = (labels(unsure) for unsure in (None, 0.0, 0.6, 0.999))
    ignored = []
    for one, same, some, more in zip(plain, never, half, most, strict=True):
        assert np.array_equal(one, same)
        assert ((some == one) | (some == 255)).all()
        assert (more[some == 255] == 255).all()
        ignored.append([(mask == 255).mean() for mask in (some, more)])
    assert np.mean(ignored, 0)[0] < np.mean(ignored, 0)[1]


def test_unsure_means_the_share_of_the_winner() -> None:
    brush = Brush(CLASSES, PaintSettings(unsure=0.7))
    labels, shares = np.array([[1, 2, 2]]), np.array([[[0.8, 0.35, 0.3]], [[0.2, 0.65, 0.7]]])
    assert brush.without_unsure(labels, shares).tolist() == [[1, 255, 2]]


@pytest.mark.parametrize("settings", [{"scores": True}, {"unsure": 0.5}])
def test_painting_in_order_compares_no_scores(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"masks: (paint: )?the rule ordered compares no scores"):
        MaskSettings.read({"paint": "ordered", **settings})
