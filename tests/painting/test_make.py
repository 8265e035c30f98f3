from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from command import call
from tag2mask import evaluate, make_masks, train
from tag2mask.data import Classes, Sample, open_dataset
from tag2mask.data.reading import read_mask, read_scaled
from tag2mask.data.writing import write_mask
from tag2mask.errors import DataError, MaskSetError, RunError, SettingsError
from tag2mask.evaluation.sweep import tune_background
from tag2mask.masks.brush import Brush
from tag2mask.masks.localize import Localizer, localize, share_of_classes
from tag2mask.masks.resolve import resolve_masks
from tag2mask.masks.settings import MaskSettings, PaintSettings
from tag2mask.masks.write import MaskSetWriter, Painted, mask_path, open_mask_set
from tag2mask.methods import Ask
from tag2mask.painting import make
from tag2mask.painting.painter import Painter
from tag2mask.recipes import recipe_names
from tag2mask.refine.chain import refiner_names
from tag2mask.refine.settings import PROBE, SEGMENTER, WALK
from tag2mask.tensors import read_tensors, write_tensors
from tag2mask.training.run import open_run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "run", tmp_path / "run"))


def test_a_mask_set_is_complete_and_says_where_it_came_from(run: Path, trained: Path) -> None:
    summary = make_masks(run, split="val")
    made = open_mask_set(run / "masks-val")
    assert (summary.images, summary.failures, summary.path) == (4, {}, run / "masks-val")
    assert made.names() == ["p08", "p09", "p10", "p11"]
    assert made.classes.pixel_names == ("background", "red", "green", "blue")
    manifest = made.manifest
    assert manifest["checkpoint_sha256"] == open_run(run).checkpoint_hash()
    assert (manifest["complete"], manifest["truth_used"], manifest["labels_used"]) == (
        True,
        "none",
        "image tags, given",
    )
    assert manifest["settings"]["split"] == "val"
    for name in made.names():
        mask = Image.open(made.mask(name))
        assert mask.mode == "P"
        assert mask.size == Image.open(trained / f"squares/images/{name}.png").size
        allowed = {0} | {made.classes.names.index(tag) + 1 for tag in manifest["image_tags"][name]}
        assert set(np.unique(np.asarray(mask)).tolist()) <= allowed


@pytest.mark.parametrize("refine", [name for name in refiner_names() if name not in (PROBE, WALK, SEGMENTER)])
def test_every_refiner_paints(run: Path, refine: str) -> None:
    assert make_masks(run, split="val", refine=refine).images == 4


def test_relative_maps_are_shares_and_follow_the_background(run: Path) -> None:
    maps = torch.tensor([[[[3.0, 0.0]], [[1.0, 0.0]]]])
    torch.testing.assert_close(share_of_classes(maps), torch.tensor([[[[0.75, 0.0]], [[0.25, 0.0]]]]))
    make_masks(run, split="val")
    assert (
        open_mask_set(run / "masks-val").manifest["settings"]["paint"]["relative"] is False
    )  # squares have a background
    make_masks(run, split="val", out=run / "shares", relative=True)
    assert open_mask_set(run / "shares").manifest["settings"]["paint"]["relative"] is True


def test_the_method_can_be_changed_where_weights_do_not_care(run: Path) -> None:
    make_masks(run, split="val", out=run / "attention", method={"maps": "attention", "map_layers": 1})
    assert open_mask_set(run / "attention").manifest["settings"]["method"] == {"maps": "attention", "map_layers": 1}
    with pytest.raises(SettingsError, match="did you mean map_layers"):
        make_masks(run, split="val", out=run / "typo", method={"map_layer": 1})
    with pytest.raises(RunError, match=r"model\.safetensors does not fit the model: .* tensors differ"):
        make_masks(run, split="val", out=run / "other", method={"registers": 0})
    assert not (run / "typo").exists()


def test_a_threshold_by_agreement_is_a_number_in_the_manifest(run: Path, trained: Path, tmp_path: Path) -> None:
    first = make_masks(run, split="val", out=run / "agreed", background={"value": "agreement"})
    manifest = open_mask_set(first.path).manifest
    background = manifest["settings"]["paint"]["background"]
    assert 0 < background["value"] < 1
    assert -1 <= background["agreement"] <= 1
    assert manifest["truth_used"] == "none"
    assert make_masks(run, split="val", out=run / "agreed", background={"value": "agreement"}).images == 4  # goes on
    data = shutil.copytree(trained / "squares", tmp_path / "squares")
    lines = (data / "labels.csv").read_text().splitlines()
    (data / "labels.csv").write_text("\n".join([lines[0], *(f"{line.split(',')[0]}," for line in lines[1:])]))
    with pytest.raises(DataError, match="no image has a tag"):
        make_masks(run, data, split="val", out=run / "none", background={"value": "agreement"})


def test_a_class_may_have_a_threshold_of_its_own(run: Path, tmp_path: Path) -> None:
    low = MaskSettings.read({"split": "val", "threshold": "0.2,red=1"})
    make.make_masks(run, out=run / "own", settings=low)
    make_masks(run, split="val", out=run / "plain", background={"value": 0.2})
    gone = [read_mask(open_mask_set(run / "own").mask(name)) for name in ("p08", "p09", "p10", "p11")]
    plain = [read_mask(open_mask_set(run / "plain").mask(name)) for name in ("p08", "p09", "p10", "p11")]
    changed = [(a[a != b], b[a != b]) for a, b in zip(gone, plain, strict=True)]
    assert sum(now.size for now, _ in changed) > 0
    for now, before in changed:  # red, which is value 1, became background, and nothing else moved
        assert set(before.tolist()) <= {1}
        assert set(now.tolist()) <= {0}
    with pytest.raises(SettingsError, match=r"class 'redd', which .* does not have; did you mean red"):
        make_masks(run, split="val", out=run / "typo", class_thresholds={"redd": 0.2})


def test_interrupted_it_goes_on_and_ends_the_same(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_masks(run, out=run / "whole", batch_size=1)
    paint, calls = make.Painter.paint, []

    def interrupted(self: make.Painter, batch: object) -> list[Painted]:
        calls.append(batch)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return paint(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(make.Painter, "paint", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_masks(run, out=run / "halved", batch_size=1)
    assert not open_mask_set(run / "halved").manifest["complete"]
    before = {path: path.stat().st_mtime_ns for path in (run / "halved/masks").iterdir()}
    assert len(before) == 3
    make_masks(run, out=run / "halved", batch_size=1)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    whole, halved = open_mask_set(run / "whole"), open_mask_set(run / "halved")
    assert whole.manifest == halved.manifest
    for name in whole.names():
        assert whole.mask(name).read_bytes() == halved.mask(name).read_bytes()


def test_another_call_into_the_same_folder_is_refused(run: Path) -> None:
    make_masks(run, split="val", out=run / "set")
    with pytest.raises(MaskSetError, match=r"set was begun with settings\.look\.flip = False, not True"):
        make_masks(run, split="val", out=run / "set", flip=True)
    (run / "other").mkdir()
    (run / "other/mine.txt").touch()
    with pytest.raises(MaskSetError, match="other is not empty and is not a mask set"):
        make_masks(run, split="val", out=run / "other")


def test_an_image_that_cannot_be_read_is_noted_and_the_others_go_on(run: Path, trained: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(trained / "squares", tmp_path / "data"))
    (data / "images/p09.png").write_bytes(b"no image")
    summary = make_masks(run, data, tmp_path / "set", split="val")
    assert (summary.images, list(summary.failures)) == (3, ["p09"])
    assert "p09.png: is not an image" in open_mask_set(tmp_path / "set").manifest["failures"]["p09"]


def test_given_tags_must_be_there_and_predicted_ones_need_none(run: Path, trained: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(trained / "squares", tmp_path / "data"))
    (data / "labels.csv").write_text("image,labels\np00.png,red\n")
    with pytest.raises(DataError, match="4 of 4 images of split val have no tags, such as p08; use --tags predicted"):
        make_masks(run, data, tmp_path / "set", split="val")
    assert not (tmp_path / "set").exists()
    assert make_masks(run, data, tmp_path / "set", split="val", tags="predicted").images == 4


def test_without_background_an_image_without_predicted_tags_gets_the_likeliest(
    run: Path, trained: Path, tmp_path: Path
) -> None:
    localizer = Localizer(open_run(run), MaskSettings(tags="predicted"))
    names = open_run(run).classes.names
    localizer.brush = Brush(Classes(names, "background"), PaintSettings(tag_threshold=0.5))
    assert localizer.tags_of(None, torch.tensor([-2.0, -1.0, -3.0])) == ([], False)
    localizer.brush = Brush(Classes(names), PaintSettings(tag_threshold=0.5))
    assert localizer.tags_of(None, torch.tensor([-2.0, -1.0, -3.0])) == ([1], True)
    assert localizer.tags_of(None, torch.tensor([2.0, -1.0, 3.0])) == ([0, 2], False)
    localizer.brush = Brush(Classes(names), PaintSettings(tag_threshold=0.2))
    assert localizer.tags_of(None, torch.tensor([-2.0, -1.0, -3.0])) == ([1], False)


def test_a_negative_image_is_all_background(run: Path, trained: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(trained / "squares", tmp_path / "data"))
    table = (data / "labels.csv").read_text().splitlines()
    (data / "labels.csv").write_text("\n".join(line if "p08" not in line else "p08.png," for line in table) + "\n")
    make_masks(run, data, tmp_path / "set", split="val")
    assert (read_mask(open_mask_set(tmp_path / "set").mask("p08")) == 0).all()


def test_maps_keep_the_images_proportions_and_flips_are_flipped_back(run: Path) -> None:
    method = open_run(run).load_method()
    image = torch.rand(3, 40, 70)
    mirrored = image.flip(-1)
    stats = ((0.5,) * 3, (0.5,) * 3)
    settings = MaskSettings(flip=True, scales=(1.0, 1.5))
    [one] = localize(method, [image], 32, *stats, settings)
    [other] = localize(method, [mirrored], 32, *stats, settings)
    assert one.maps_CYX.shape == (3, 32, 56)
    torch.testing.assert_close(one.maps_CYX, other.maps_CYX.flip(-1), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one.scores_C, other.scores_C, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("size", "grids"), [((40, 70), [(5, 9), (8, 14)]), ((70, 43), [(9, 5), (13, 8)])])
def test_own_is_each_images_own_size_in_whole_patches(
    run: Path, size: tuple[int, int], grids: list[tuple[int, int]]
) -> None:
    method = open_run(run).load_method()  # patches of 8
    seen: list[tuple[int, ...]] = []
    method.register_forward_pre_hook(lambda _, given: seen.append(tuple(side // 8 for side in given[0].shape[-2:])))
    localize(method, [torch.rand(3, *size)], 32, (0.5,) * 3, (0.5,) * 3, MaskSettings(side="own", scales=(1.0, 1.5)))
    assert seen == grids


def test_dropped_edges_are_the_released_codes_maps(run: Path) -> None:
    """The stride leaves the rest right and below out of every pass; the maps are stretched over the whole image."""
    method = open_run(run).load_method()
    image = torch.rand(3, 41, 70)
    settings = MaskSettings(side="own", flip=True, scales=(1.0, 1.5), edges="drop", relative=False)
    [found] = localize(method, [image], 32, (0.5,) * 3, (0.25,) * 3, settings)
    wanted = torch.zeros(3, 41, 70)
    for size, cut in (((41, 70), (40, 64)), ((62, 105), (56, 104))):
        scaled = F.interpolate(image[None], size, mode="bicubic", antialias=True).clamp(0, 1)
        for turn in (lambda x: x, lambda x: x.flip(-1)):
            seen = (turn(scaled)[..., : cut[0], : cut[1]] - 0.5) / 0.25
            with torch.no_grad():
                maps_BChw = method(seen, ask=Ask(maps=True)).maps_BChw
            wanted += turn(F.interpolate(maps_BChw, (41, 70), mode="bilinear"))[0]
    assert wanted.std() > 0
    torch.testing.assert_close(found.maps_CYX, wanted, atol=1e-4 * wanted.max().item(), rtol=1e-3)


def test_side_is_a_number_or_own() -> None:
    assert MaskSettings.read({"look.side": "own"}).look.side == "own"
    assert MaskSettings.read({}, ["side=224"]).look.side == 224
    for wrong in ("owm", "0", "-8"):
        with pytest.raises(SettingsError, match=r"masks: look\.side: expected an integer from 1 to 8192 \(pixels\)"):
            MaskSettings.read({}, [f"side={wrong}"])


@pytest.mark.parametrize("name", [name for name in recipe_names() if "mctformer" in name or "weaktr" in name])
def test_recipes_of_mctformer_and_weaktr_look_at_the_images_own_size(name: str) -> None:
    assert MaskSettings.read({}, [], name).look.side == "own"


def test_above_254_classes_masks_have_16_bits(tmp_path: Path) -> None:
    classes = Classes(tuple(f"c{i}" for i in range(300)))
    assert classes.ignore == 65535
    writer = MaskSetWriter(tmp_path / "set", classes, {"settings": {}})
    labels = np.array([[0, 299], [255, 65535]])
    writer.add("deep/a", Painted(labels, ["c0"], False))
    writer.finish({})
    made = open_mask_set(tmp_path / "set")
    assert made.names() == ["deep/a"]
    assert (read_mask(made.mask("deep/a")) == labels).all()


def test_masks_are_indexed_with_the_classes_palette(tmp_path: Path) -> None:
    classes = Classes(("a", "b"), "background")
    write_mask(mask_path(tmp_path, "x"), np.array([[0, 1], [2, 255]]), classes)
    image = Image.open(tmp_path / "masks/x.png")
    assert image.mode == "P"
    assert image.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]  # VOC's colours
    assert (read_mask(tmp_path / "masks/x.png") == [[0, 1], [2, 255]]).all()


def miou_by_hand(masks: Path, truth: Path) -> float:
    found = np.concatenate([read_mask(path).ravel() for path in sorted(masks.iterdir())])
    true = np.concatenate([read_mask(path).ravel() for path in sorted(truth.iterdir())])
    classes = sorted({*found, *true})
    return sum(((found == k) & (true == k)).sum() / ((found == k) | (true == k)).sum() for k in classes) / len(classes)


def test_evaluation_end_to_end(run: Path, trained: Path) -> None:
    make_masks(run, split="all", out=run / "all")
    scores = evaluate(run / "all", truth=trained / "squares/masks").to_json()
    assert (scores["images"], scores["images_without_truth"], scores["classes"]) == (12, 0, 4)
    assert scores["miou"] == pytest.approx(100 * miou_by_hand(run / "all/masks", trained / "squares/masks"), abs=0.01)
    assert 0 < scores["random_miou"] < 40
    assert evaluate(run / "all", truth=trained / "squares/masks", split="val").to_json()["images"] == 4


def test_perfect_masks_score_100(run: Path, trained: Path) -> None:
    make_masks(run, split="val")
    for name in open_mask_set(run / "masks-val").names():
        shutil.copy(trained / f"squares/masks/{name}.png", run / f"masks-val/masks/{name}.png")
    scores = evaluate(run / "masks-val", truth=trained / "squares/masks").to_json()
    assert (scores["miou"], scores["pixel_accuracy"], scores["miou_interval_95"]) == (100, 100, [100, 100])


def test_truth_that_does_not_fit_is_named(run: Path, trained: Path, tmp_path: Path) -> None:
    make_masks(run, split="val")
    truth = Path(shutil.copytree(trained / "squares/masks", tmp_path / "truth"))
    Image.new("L", (3, 3)).save(truth / "p08.png")
    with pytest.raises(
        DataError, match=r"truth/p08\.png does not fit .*truth is \(3, 3\), .*; --truth must hold label images"
    ):
        evaluate(run / "masks-val", truth=truth)
    with pytest.raises(MaskSetError, match=r"masks-val: holds no image of the split train; give the mask set of that"):
        evaluate(run / "masks-val", truth=trained / "squares/masks", split="train")
    with pytest.raises(DataError, match="the folder does not exist"):
        evaluate(run / "masks-val", truth=tmp_path / "none")
    with pytest.raises(MaskSetError, match="none of its 4 masks has truth of the same name"):
        evaluate(run / "masks-val", truth=run)
    (tmp_path / "list.txt").write_bytes(b"p08\np\xff\n")
    with pytest.raises(DataError, match=r"list\.txt, line 2: is not UTF-8"):
        evaluate(run / "masks-val", truth=truth, split=str(tmp_path / "list.txt"))


def test_what_is_no_run_or_mask_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run"):
        make_masks(tmp_path)
    with pytest.raises(MaskSetError, match="is not a mask set"):
        evaluate(tmp_path, truth=tmp_path)


def test_settings_from_the_command_line() -> None:
    settings = MaskSettings.read({"look.scales": "1.0,1.25", "threshold": "0.3"}, ["paint=ordered"])
    assert settings.look.scales == (1.0, 1.25)
    assert (settings.paint.rule, settings.paint.threshold, settings.paint.background.value) == ("ordered", 0.3, 0.3)
    assert MaskSettings.read({}, ["scales=1.0,1.25"]).look.scales == (1.0, 1.25)
    assert MaskSettings.read({}, ["look.scales=2"]).look.scales == (2.0,)
    assert MaskSettings.read({"threshold": "otsu"}).paint.threshold == "otsu"
    own = MaskSettings.read({"threshold": "agreement,cow=0.2,sky=otsu"}).paint
    assert own.class_thresholds == {"cow": 0.2, "sky": "otsu"}
    assert (own.background.value, own.threshold) == ("agreement", "mean")
    for text in ("0.1,cow=2", "cow=agreement", "0.1,cow"):
        with pytest.raises(SettingsError):
            MaskSettings.read({"threshold": text})
    for assignment in ("scales=[]", "scales=[0]", "threshold=1.5", "threshold=high", "tags=some", "flop=1"):
        with pytest.raises(SettingsError):
            MaskSettings.read({}, [assignment])


def test_the_manifest_is_json_and_no_tags_file_is_left(run: Path) -> None:
    make_masks(run, split="val")
    assert json.loads((run / "masks-val/manifest.json").read_text())["images"] == 4
    assert sorted(path.name for path in (run / "masks-val").iterdir()) == ["classes.json", "manifest.json", "masks"]


def test_other_classes_are_said_of_the_data_that_was_meant(run: Path) -> None:
    (run / "classes.json").write_text('{"names": ["red", "green"], "background": null}')
    with pytest.raises(
        DataError, match=r"squares: its classes are not those that .*run was trained on; give the original"
    ):
        make_masks(run, split="val")


def test_truth_that_is_all_void_scores_nothing_and_is_no_error(
    run: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_masks(run, split="val")
    truth = tmp_path / "truth"
    truth.mkdir()
    for name in ("p08", "p09", "p10", "p11"):
        size = Image.open(trained / f"squares/images/{name}.png").size
        Image.new("L", size, 255).save(truth / f"{name}.png")
    scores = evaluate(run / "masks-val", truth=truth).to_json()
    assert (scores["miou"], scores["random_miou"], scores["miou_interval_95"]) == (None, None, [None, None])
    assert call(monkeypatch, "evaluate", run / "masks-val", "--truth", truth) == 0
    told = capsys.readouterr().out
    assert "mIoU -, precision -, recall - (mIoU's 95 % interval over images - to -)" in told
    assert "no scores: no pixel of the truth has a class" in told
    assert call(monkeypatch, "report", run, "--masks", run / "masks-val", "--truth", truth) == 0
    assert "<b>-</b>mIoU of the pseudo-masks" in (run / "report.html").read_text()
    shutil.copytree(truth, tmp_path / "squares/masks", dirs_exist_ok=True)
    (tmp_path / "squares/images").mkdir()
    for part in ("images", "splits"):
        shutil.copytree(trained / "squares" / part, tmp_path / "squares" / part, dirs_exist_ok=True)
    for name in ("labels.csv", "classes.txt"):
        shutil.copy(trained / "squares" / name, tmp_path / "squares" / name)
    with pytest.raises(DataError, match="the truth of split val has no pixel of any class"):
        tune_background(run, tmp_path / "squares", MaskSettings(), "val")


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1)])
def test_a_line_of_pixels_takes_no_time(run: Path, trained: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    data = Path(shutil.copytree(trained / "squares", tmp_path / "line"))
    Image.fromarray(np.resize(np.arange(256, dtype=np.uint8), (*size, 3))).save(data / "images/p08.png")
    clock = time.monotonic()
    made = make_masks(run, data, run / "line", split="val", scales=(1.0, 2.0), refine="crf")
    assert time.monotonic() - clock < 60  # it took minutes and gigabytes
    assert made.failures == {}
    assert read_mask(run / "line/masks/p08.png").shape == size


def test_shares_do_not_depend_on_the_tags_of_other_images(squares: Path, tmp_path: Path, small: Any) -> None:
    settings = {**small, "method_settings": {**small["method_settings"], "shortlist": 1}, "epochs": 1}
    train(squares, tmp_path / "run", **settings)
    run = open_run(tmp_path / "run")
    localizer = Localizer(run, resolve_masks(MaskSettings(), run))
    assert localizer.settings.paint.relative
    batch = [(Sample(str(tag), Path(), (tag,)), torch.rand(3, 32, 32)) for tag in range(3)]
    for together, alone in zip(localizer.localize(batch), [localizer.localize([one])[0] for one in batch], strict=True):
        torch.testing.assert_close(together.maps_CYX, alone.maps_CYX, atol=0, rtol=0)


@pytest.mark.parametrize("heads", ["open", "all"])
def test_closed_heads_are_not_computed(
    squares: Path, tmp_path: Path, small: Any, monkeypatch: pytest.MonkeyPatch, heads: str
) -> None:
    method_settings = {"map_layers": 2, "heads": heads}
    settings = {**small, "method": "tokenmasking", "method_settings": method_settings, "epochs": 1}
    train(squares, tmp_path / "run", **settings)
    tensors, metadata = read_tensors(tmp_path / "run/model.safetensors")
    for name, tensor in tensors.items():
        if name.endswith("log_alpha_H"):
            tensor[0] = -9.0
    write_tensors(tmp_path / "run/model.safetensors", tensors, metadata)
    counts: set[int] = set()
    paint = Painter.paint

    def counted(self: Painter, batch: Any) -> Any:
        counts.update(attention.heads for attention in self.localizer.method.vit.attentions)
        return paint(self, batch)

    monkeypatch.setattr(Painter, "paint", counted)
    made = open_mask_set(make_masks(tmp_path / "run", out=tmp_path / "masks").path)
    every = small["backbone"]["heads"]
    assert counts == {every if heads == "all" else every - 1}
    run = open_run(tmp_path / "run")
    whole = Painter(run, resolve_masks(MaskSettings(), run))
    samples = list(open_dataset(squares, run.settings.data, "train"))
    for sample in samples:
        (painted,) = paint(whole, [(sample, torch.from_numpy(read_scaled(sample.image, run.settings.data)))])
        assert (read_mask(made.mask(sample.name)) == painted.labels).mean() > 0.99
