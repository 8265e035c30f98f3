"""The random walk: its numbers (reference notes, section 8.7), its labels, its training, and the verb."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import load_file

from command import call
from tag2mask import make_masks, train
from tag2mask.affinitynet import pair_labels
from tag2mask.affinitynet.pair_labels import (
    UNSURE,
    VOID,
    Labelled,
    agreed_labels,
    pair_kinds,
    sure_labels,
    trusted_labels,
)
from tag2mask.affinitynet.settings import WalkSettings
from tag2mask.affinitynet.train import (
    WEIGHTS,
    WEIGHTS_WITHOUT_BACKGROUND,
    WalkTrainer,
    build_net,
    pair_losses,
    pairs_of,
    resolve_walk,
    train_walk,
)
from tag2mask.affinitynet.walk import (
    AffinityNet,
    Walk,
    offsets,
    open_walk,
    pair_affinity,
    pairs,
    to_patches,
    transition,
    walk,
)
from tag2mask.data import DataSettings, open_dataset
from tag2mask.data.loading import load_image
from tag2mask.errors import DataError, RunError, SettingsError, WeightsError
from tag2mask.files import file_hash
from tag2mask.masks.write import open_mask_set
from tag2mask.tensors import write_tensors
from tag2mask.training.interrupt import Interrupt
from tag2mask.training.run import Run, open_run
from tag2mask.training.start import open_accelerator
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.weights import build_backbone

QUICK = {"side": 48, "epochs": 2, "batch_size": 4}
SMALL = {
    "deit": ("deit_tiny_patch16_224", 64),
    "dinov2-registers": ("vit_small_patch14_reg4_dinov2", 56),
    "eva02": ("eva02_tiny_patch14_224", 56),
    "rope-mixed": ("vit_small_patch16_rope_mixed_224", 64),
}


def halves(run: Run) -> list[Labelled]:
    """The generated images at a side of 48 with their halves as labels, unsure in the middle."""
    labelled = []
    for sample in open_dataset(run.data, run.settings.data, "train"):
        wide = load_image(sample.image, DataSettings()).shape[2] // 8
        labels = torch.full((6, wide), 2)  # the left half is three patches wide
        labels[:, :2], labels[:, 2:4] = 1, UNSURE
        labelled.append(Labelled(sample, labels))
    return labelled


def walk_trainer(
    run: Run, net: AffinityNet, labelled: list[Labelled], settings: WalkSettings, out: Path
) -> WalkTrainer:
    """A training of a walk."""
    out.mkdir(exist_ok=True)
    return WalkTrainer(open_accelerator(settings), run, net, labelled, settings, out, Interrupt())


@torch.no_grad()
def gap(net: AffinityNet, one: Labelled) -> float:
    """How much more alike than others two patches of one class are to the network."""
    first, second, kinds = pairs_of(one.labels_hw, 5)
    pixels = F.interpolate(load_image(one.sample.image, DataSettings())[None], size=(48, 48)) * 2 - 1
    affinity = pair_affinity(net(pixels)[0], first, second)
    return (affinity[kinds == 1].mean() - affinity[kinds == 2].mean()).item()


def test_34_offsets_and_2496_sources_that_have_all_of_them() -> None:
    assert len(offsets(5)) == 34
    first, second = pairs((56, 56), 5)
    assert (first.bincount(minlength=56 * 56) == 34).sum() == 2496
    assert len(first) == len(second)


@pytest.mark.parametrize("grid", [(1, 1), (3, 4), (7, 2), (6, 9)])
def test_pairs_are_all_neighbours_once(grid: tuple[int, int]) -> None:
    places = [(y, x) for y in range(grid[0]) for x in range(grid[1])]
    wanted = {
        (i, j)
        for i, (y, x) in enumerate(places)
        for j, (v, u) in enumerate(places)
        if i < j and (y - v) ** 2 + (x - u) ** 2 < 25
    }
    first, second = pairs(grid, 5)
    found = list(zip(first.tolist(), second.tolist(), strict=True))
    assert len(found) == len(wanted)
    assert set(found) == wanted


def test_affinity_vectors() -> None:
    features = torch.stack([torch.zeros(448), torch.full((448,), 0.5)])
    affinity = pair_affinity(features, torch.tensor([0, 1]), torch.tensor([1, 1]))
    torch.testing.assert_close(affinity, torch.tensor([0.606531, 1.0]), atol=1e-6, rtol=0)


def test_the_transition_is_symmetric_before_its_columns_sum_to_1() -> None:
    torch.manual_seed(0)
    first, second = pairs((5, 6), 5)
    matrix = transition(torch.rand(len(first)), first, second, 30, 1.0)
    torch.testing.assert_close(matrix.sum(0), torch.ones(30))
    weight = 1 / matrix.diagonal()  # the column's sum before
    torch.testing.assert_close(matrix * weight, (matrix * weight).T)
    assert (matrix[0] > 0).sum() == 1 + (first == 0).sum()


def test_the_power_of_an_affinity() -> None:
    """Two patches with affinity e^-0.5, to the 8th: 0.018316; every column then sums to 1."""
    first, second = torch.tensor([0]), torch.tensor([1])
    found = transition(torch.tensor([0.606531]), first, second, 2, 8.0)
    wanted = torch.tensor([[1.0, 0.018316], [0.018316, 1.0]]) / 1.018316
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


def test_64_steps_are_six_squarings() -> None:
    torch.manual_seed(0)
    first, second = pairs((4, 5), 3)
    matrix = transition(torch.rand(len(first)), first, second, 20, 8.0)
    scores = torch.rand(3, 20)
    wanted = scores @ torch.linalg.matrix_power(matrix, 64)
    torch.testing.assert_close(walk(scores, matrix, 6), wanted, atol=1e-5, rtol=1e-4)


def test_a_walk_stays_where_nothing_is_alike_and_spreads_where_all_is() -> None:
    first, second = pairs((3, 3), 5)
    scores = torch.rand(2, 9)
    alone = transition(torch.zeros(len(first)), first, second, 9, 8.0)
    torch.testing.assert_close(walk(scores, alone, 6), scores)
    together = transition(torch.ones(len(first)), first, second, 9, 8.0)
    torch.testing.assert_close(walk(scores, together, 6), scores.mean(1, keepdim=True).expand(2, 9))


def test_scores_are_padded_and_pooled_like_the_image() -> None:
    maps = torch.arange(6.0).view(1, 2, 3)
    torch.testing.assert_close(to_patches(maps, (2, 3), 2), torch.tensor([[[2.0, 3.5]]]))


def test_pairs_with_an_unsure_patch_are_void() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, UNSURE])
    first, second = torch.tensor([0, 2, 0, 2, 0, 5, 5]), torch.tensor([1, 3, 2, 4, 5, 3, 5])
    assert pair_kinds(labels, first, second).tolist() == [0, 1, 2, 2, VOID, VOID, VOID]


def test_loss_in_closed_form() -> None:
    affinity, kinds = torch.tensor([0.5, 0.9, 0.7, 0.2, 0.6, 0.1]), torch.tensor([0, 0, 1, 2, 2, VOID])
    terms = pair_losses(affinity, kinds, kinds.bincount(), WEIGHTS)
    wanted = {
        "background": -(math.log(0.5 + 1e-5) + math.log(0.9 + 1e-5)) / 8,
        "foreground": -math.log(0.7 + 1e-5) / 4,
        "different": -(math.log(0.8 + 1e-5) + math.log(0.4 + 1e-5)) / 4,
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(wanted, abs=1e-6)
    without = pair_losses(affinity, kinds, kinds.bincount(), WEIGHTS_WITHOUT_BACKGROUND)
    assert list(without) == ["foreground", "different"]
    assert without["foreground"].item() == pytest.approx(2 * wanted["foreground"], abs=1e-6)
    sure = pair_losses(torch.tensor([0.0, 1.0]), torch.tensor([0, 2]), torch.tensor([1, 0, 1]), WEIGHTS)
    assert sure["foreground"] == 0
    assert sure["background"].item() == pytest.approx(-math.log(1e-5) / 4, rel=1e-4)
    assert torch.isfinite(sure["different"])


def test_labels_where_two_backgrounds_agree() -> None:
    low = torch.tensor([[[0.3, 0.8, 0.9, 0.4]], [[0.7, 0.2, 0.1, 0.1]], [[0.0, 0.0, 0.0, 0.5]]])
    high = low.clone()
    high[0] = torch.tensor([[0.0, 0.1, 0.9, 0.0]])
    assert agreed_labels(low, high, [4, 6]).tolist() == [[5, UNSURE, 0, 7]]


def test_labels_where_the_best_class_is_trusted() -> None:
    scores = torch.tensor([[[0.9, 0.6, 0.1]], [[0.1, 0.4, 0.9]]])
    assert trusted_labels(scores, [0, 3], 0.7).tolist() == [[1, UNSURE, 4]]


def test_labels_from_class_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backgrounds (1 - max)^1 and (1 - max)^12 at max .2 are .8 and .068719, at max .7 they are .3 and 5.3e-7."""
    monkeypatch.setattr(pair_labels, "crf", lambda image, scores, settings: scores)
    settings, image = WalkSettings(side=1, low_alpha=1, high_alpha=12), torch.zeros(3, 1, 4)
    one = torch.tensor([[[0.0, 0.2, 0.7, 1.0]]])
    assert sure_labels(one, [2], image, 1, True, settings).tolist() == [[0, UNSURE, 3, 3]]
    two = torch.cat([one, torch.tensor([[[1.0, 0.6, 0.0, 0.0]]])])
    assert sure_labels(two, [2, 5], image, 1, False, settings).tolist() == [[6, UNSURE, 3, 3]]
    assert sure_labels(one[:0], [], image, 1, True, settings).tolist() == [[0, 0, 0, 0]]
    assert sure_labels(one[:0], [], image, 3, False, settings).tolist() == [[UNSURE, UNSURE]]


def test_labels_follow_colours() -> None:
    image = torch.cat([torch.full((3, 24, 10), 0.2), torch.full((3, 24, 14), 0.8)], -1)
    maps = torch.zeros(1, 24, 24)
    maps[:, :, :13] = 1.0  # three columns too many
    labels = sure_labels(maps, [0], image, 2, True, WalkSettings(side=24))
    assert (labels[:, :5] == 1).all()
    assert (labels[:, 7:] == 0).all()


@pytest.mark.parametrize("family", SMALL)
def test_every_plain_vit_gives_features_at_any_size(family: str) -> None:
    name, side = SMALL[family]
    model = timm.create_model(
        name, num_classes=0, img_size=side, dynamic_img_size=True, depth=2, embed_dim=96, num_heads=3
    )
    net = AffinityNet(model)
    assert net.layers == [0, 1, 1]
    features = net(torch.rand(1, 3, side, side + 2 * net.patch))
    assert features.shape == (1, (side // net.patch) * (side // net.patch + 2), 448)
    features.sum().backward()
    assert all(parameter.grad is not None for parameter in net.new_parameters())
    assert all(parameter.grad is None for parameter in net.backbone.parameters())


def test_training_lowers_the_loss_and_separates(trained: Path, tmp_path: Path) -> None:
    run = open_run(trained / "run")
    settings = resolve_walk(WalkSettings.parse({**QUICK, "epochs": 8, "batch_size": 2}), run)
    torch.manual_seed(0)
    net = build_net(run, settings)
    before = {name: tensor.clone() for name, tensor in net.backbone.state_dict().items()}
    labelled = halves(run)
    trainer = walk_trainer(run, net, labelled, settings, tmp_path)
    apart = gap(net, labelled[0])
    trainer.run([])
    rows = trainer.state.rows
    losses = [sum(row["loss"].values()) for row in rows]
    assert losses[-1] < 0.9 * losses[0]
    assert gap(net, labelled[0]) > apart
    assert list(rows[0]["loss"]) == ["background", "foreground", "different"]
    assert rows[0]["pairs"]["background"] == 0
    assert rows[-1]["lr"][0] < rows[0]["lr"][0] <= settings.lr
    for name, tensor in net.backbone.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_without_two_classes_there_is_nothing_to_learn(trained: Path, tmp_path: Path) -> None:
    run = open_run(trained / "run")
    settings = resolve_walk(WalkSettings.parse(QUICK), run)
    one = [Labelled(item.sample, item.labels_hw.clamp(max=1)) for item in halves(run)]
    with pytest.raises(DataError, match="no two neighbouring patches are known to differ"):
        walk_trainer(run, build_net(run, settings), one, settings, tmp_path)


@pytest.fixture(scope="session")
def walked(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small walk."""
    out = tmp_path_factory.mktemp("walked") / "walk"
    train_walk(trained / "run", out, WalkSettings.parse(QUICK))
    return out


def test_a_walk_folder_says_what_it_came_from(walked: Path, trained: Path) -> None:
    names = ["config.yaml", "metrics.jsonl", "state.safetensors", "walk.safetensors"]
    assert sorted(path.name for path in walked.iterdir()) == names
    config = yaml.safe_load((walked / "config.yaml").read_text())
    assert config["run"] == {"name": "run", "sha256": open_run(trained / "run").checkpoint_hash()}
    assert config["settings"]["backbone"]["width"] == 24
    assert (config["settings"]["weights"], config["truth_used"], config["photographs"]) == ("none", "none", 8)
    rows = [json.loads(line) for line in (walked / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert set(rows[0]["pairs"]) == {"background", "foreground", "different", "void"}


def test_the_same_seed_gives_the_same_walk_and_truth_is_not_needed(trained: Path, walked: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained / "run", tmp_path / "run"))
    data = Path(shutil.copytree(trained / "squares", tmp_path / "data"))
    shutil.rmtree(data / "masks")
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "data": str(data)}))
    summary = train_walk(run, tmp_path / "again", WalkSettings.parse(QUICK))
    again, before = (load_file(folder / "walk.safetensors") for folder in (tmp_path / "again", walked))
    for name, weights in before.items():  # sums over pairs are added in no fixed order
        torch.testing.assert_close(again[name], weights, atol=1e-5, rtol=0)
    assert summary.images == 8


def test_without_a_background_there_is_no_such_term(squares: Path, small: dict[str, object], tmp_path: Path) -> None:
    train(squares, tmp_path / "run", **small)
    summary = train_walk(tmp_path / "run", tmp_path / "walk", WalkSettings.parse({**QUICK, "trust": 0.0}))
    row = json.loads((tmp_path / "walk/metrics.jsonl").read_text().splitlines()[0])
    assert list(row["loss"]) == ["foreground", "different"]
    assert (summary.pairs["background"], summary.pairs["void"]) == (0, 0)
    made = make_masks(tmp_path / "run", split="val", refine="walk", walk=str(tmp_path / "walk"))
    assert made.images == 4


def test_a_walk_changes_scores_and_keeps_their_size_and_range(walked: Path) -> None:
    torch.manual_seed(0)
    opened = open_walk(walked)
    image, scores = torch.rand(3, 50, 77), torch.rand(4, 50, 77)
    refined = opened(image, scores)
    assert refined.shape == scores.shape
    assert refined.min() >= 0
    assert refined.max() <= 1
    assert refined.std() < scores.std()
    torch.testing.assert_close(opened(image, torch.full((1, 50, 77), 0.3)), torch.full((1, 50, 77), 0.3))


def test_the_verb_and_the_refiner(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "walk"
    options = ["--epochs", 1, "--set", "side=48", "--set", "masks.method.map_layers=1"]
    assert call(monkeypatch, "refine-train", trained / "run", "--out", out, "--json", *options) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["walk"], told["images"]) == (str(out), 8)
    masks = ["masks", trained / "run", "--split", "val", "--refine", "pamr,walk,crf", "--walk", out]
    assert call(monkeypatch, *masks, "--out", tmp_path / "set") == 0
    made = open_mask_set(tmp_path / "set")
    assert made.manifest["walk"] == {"name": "walk", "sha256": file_hash(out / "walk.safetensors")}
    assert len(made.names()) == 4
    assert call(monkeypatch, *masks, "--out", tmp_path / "set") == 0  # goes on
    make_masks(trained / "run", split="val", out=tmp_path / "plain")
    assert open_mask_set(tmp_path / "plain").manifest["walk"] is None
    capsys.readouterr()
    assert call(monkeypatch, "refine-train", trained / "run", "--out", out) == 2
    assert "is not empty; choose another --out" in capsys.readouterr().err


def tensors_of(walk: Path) -> dict[str, torch.Tensor]:
    """Its weights and its state."""
    return load_file(walk / "walk.safetensors") | load_file(walk / "state.safetensors")


def rows_of(walk: Path) -> list[dict[str, object]]:
    """Its metrics without the clock."""
    lines = (walk / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def require_alike(one: Path, other: Path) -> None:
    a, b = tensors_of(one), tensors_of(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert rows_of(one) == rows_of(other)


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_resumed_after_any_step_it_is_the_uninterrupted_walk_bit_for_bit(
    stop: int, trained: Path, walked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = WalkTrainer.step

    def interrupted(self: WalkTrainer, *batch: list[torch.Tensor]) -> bool:
        moved = step(self, *batch)
        if self.state.step == stop:
            os.kill(os.getpid(), signal.SIGINT)
        return moved

    out, settings = tmp_path / "walk", WalkSettings.parse(QUICK)
    with monkeypatch.context() as patch:
        patch.setattr(WalkTrainer, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_walk(trained / "run", out, settings)
    with pytest.raises(RunError, match=r"is not a walk: walk\.safetensors is missing"):
        open_walk(out)
    with pytest.raises(RunError, match="is not empty; choose another --out, or continue with --resume"):
        train_walk(trained / "run", out, settings)
    assert train_walk(trained / "run", out, settings, resume=True).images == 8
    require_alike(out, walked)
    before = (out / "walk.safetensors").stat().st_mtime_ns
    train_walk(trained / "run", out, settings, resume=True)  # finished: nothing is left to do
    assert (out / "walk.safetensors").stat().st_mtime_ns == before


def test_killed_outright_it_resumes_to_the_same_walk(trained: Path, walked: Path, tmp_path: Path) -> None:
    out, settings = tmp_path / "walk", {**QUICK, "save_minutes": 0.0}
    code = (
        f"import os, sys, torch; sys.path[:0] = {sys.path!r}; torch.set_num_threads({torch.get_num_threads()})\n"
        "from pathlib import Path\n"
        "from tag2mask.affinitynet.settings import WalkSettings\n"
        "from tag2mask.affinitynet.train import WalkTrainer, train_walk\n"
        "save = WalkTrainer.save_if_due\n"
        "def killed(self, force):\n"
        "    save(self, force)\n"
        "    if self.state.step == 3: os.kill(os.getpid(), 9)\n"
        "WalkTrainer.save_if_due = killed\n"
        f"train_walk(Path({str(trained / 'run')!r}), Path({str(out)!r}), WalkSettings.parse({settings!r}))"
    )
    assert subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL, check=False).returncode == -9
    train_walk(trained / "run", out, WalkSettings.parse(settings), resume=True)
    require_alike(out, walked)


def test_interrupted_before_its_first_step_it_leaves_nothing(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tag2mask.affinitynet.train.label_patches", press)
        with pytest.raises(KeyboardInterrupt):
            train_walk(trained / "run", tmp_path / "walk", WalkSettings.parse(QUICK))
    assert not (tmp_path / "walk").exists()


def test_only_the_same_walk_is_resumed(walked: Path, trained: Path, run: Path, tmp_path: Path) -> None:
    walk = Path(shutil.copytree(walked, tmp_path / "walk"))
    with pytest.raises(RunError, match=r"was begun with lr = 1\.0, not 0\.5; resume with the same settings"):
        train_walk(trained / "run", walk, WalkSettings.parse({**QUICK, "lr": 0.5}), resume=True)
    weights = load_file(run / "model.safetensors")
    weights["head.bias"] += 1
    write_tensors(run / "model.safetensors", weights, {})
    with pytest.raises(RunError, match="learned from the maps of another run"):
        train_walk(run, walk, WalkSettings.parse(QUICK), resume=True)
    with pytest.raises(RunError, match=r"is not a walk: config\.yaml is missing"):
        train_walk(run, tmp_path / "none", WalkSettings.parse(QUICK), resume=True)


def test_masks_want_the_refiner_and_its_folder_together(trained: Path, walked: Path, tmp_path: Path) -> None:
    for settings in ({"refine": "walk"}, {"walk": str(walked)}, {"refine": "crf", "walk": str(walked)}):
        with pytest.raises(SettingsError, match="--refine walk and --walk WALK must be given together"):
            make_masks(trained / "run", out=tmp_path / "set", **settings)
    with pytest.raises(SettingsError, match="this order: pamr,walk,crf"):
        make_masks(trained / "run", out=tmp_path / "set", refine="crf,walk,pamr", walk=str(walked))
    assert not (tmp_path / "set").exists()


def cut_weights(folder: Path) -> None:
    content = (folder / "walk.safetensors").read_bytes()
    (folder / "walk.safetensors").write_bytes(content[: len(content) // 2])


def other_backbone(folder: Path) -> None:
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("width: 24", "width: 48"))


def no_settings(folder: Path) -> None:
    (folder / "config.yaml").write_text("mean: [0, 0, 0]\n")


@pytest.mark.parametrize("damage", [cut_weights, other_backbone, no_settings])
def test_a_damaged_walk_is_one_error(
    damage: Callable[[Path], None], trained: Path, walked: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(walked, tmp_path / "walk"))
    damage(folder)
    with pytest.raises(RunError, match=r"walk/\S+ (is damaged \(.*\); restore|does not fit the model: )"):
        make_masks(trained / "run", out=tmp_path / "set", refine="walk", walk=str(folder))
    assert not (tmp_path / "set").exists()


def test_a_folder_that_is_no_walk_is_named(trained: Path, tmp_path: Path) -> None:
    for folder in (trained / "run", tmp_path / "none"):
        with pytest.raises(RunError, match=r"is not a walk: .* is missing"):
            make_masks(trained / "run", out=tmp_path / "set", refine="walk", walk=str(folder))


def test_a_walk_of_other_bands_is_refused(trained: Path, walked: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(walked, tmp_path / "walk"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["settings"]["backbone"]["bands"] = 1
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "mean": [0.5], "std": [0.5]}))
    net = AffinityNet(build_backbone(BackboneSettings.parse(config["settings"]["backbone"]), "none")[0])
    write_tensors(folder / "walk.safetensors", net.state_dict(), {})
    with pytest.raises(SettingsError, match="was trained on 1 bands"):
        make_masks(trained / "run", out=tmp_path / "set", refine="walk", walk=str(folder))


def test_settings_of_the_verb(trained: Path, tmp_path: Path) -> None:
    run = open_run(trained / "run")
    settings = WalkSettings.read({"masks.split": "val", "epochs": 3}, ["masks.method.map_layers=1", "lr=1e-2"])
    assert (settings.masks.split, settings.epochs, settings.lr) == ("val", 3, 0.01)
    assert settings.masks.method == {"map_layers": 1}
    own = resolve_walk(settings, run)
    assert own.backbone is not None
    assert (own.backbone.name, own.backbone.width, own.backbone.image_size) == ("vit_tiny_patch16_224", 24, 448)
    other = resolve_walk(WalkSettings.read({"backbone.name": "vit_small_patch14_dinov2"}, []), run)
    assert (own.weights, other.weights) == ("none", "hub")
    with pytest.raises(SettingsError, match="did you mean squarings"):
        WalkSettings.read({}, ["squaring=2"])
    with pytest.raises(SettingsError, match="leave walk out"):
        resolve_walk(WalkSettings.read({}, ["masks.refine=walk", "masks.walk=w"]), run)
    with pytest.raises(SettingsError, match=r"is not a multiple of .* patch size 8; try 48"):
        train_walk(trained / "run", tmp_path / "walk", WalkSettings(side=50))
    with pytest.raises(WeightsError, match="does not exist"):
        train_walk(trained / "run", tmp_path / "walk", WalkSettings(side=48, weights=str(tmp_path / "no.pth")))
    assert not (tmp_path / "walk").exists()


def test_images_without_tags_are_left_out_unless_tags_are_predicted(trained: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained / "run", tmp_path / "run"))
    data = Path(shutil.copytree(trained / "squares", tmp_path / "data"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "data": str(data)}))
    lines = (data / "labels.csv").read_text().splitlines()
    (data / "labels.csv").write_text("\n".join(lines[:4]) + "\n")
    assert train_walk(run, tmp_path / "given", WalkSettings.parse(QUICK)).images == 3
    (data / "labels.csv").write_text("image,labels\np11.png,red\n")
    with pytest.raises(DataError, match="no image of split train has tags"):
        train_walk(run, tmp_path / "none", WalkSettings.parse(QUICK))
    (data / "images/p00.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"p00\.png"):
        train_walk(run, tmp_path / "none", WalkSettings.parse({**QUICK, "masks": {"tags": "predicted"}}))


def test_a_walk_of_the_right_pairs_mends_a_wrong_edge(trained: Path, tmp_path: Path) -> None:
    """Trained on true halves, it moves scores that stop too early to the edge."""
    run = open_run(trained / "run")
    settings = resolve_walk(WalkSettings.parse({**QUICK, "epochs": 8, "batch_size": 2}), run)
    torch.manual_seed(0)
    net = build_net(run, settings)
    labelled = halves(run)
    walk_trainer(run, net, labelled, settings, tmp_path).run([])
    net.eval()
    image = load_image(labelled[0].sample.image, DataSettings())
    scores = torch.full((2, *image.shape[-2:]), 0.3)
    scores[0, :, :12], scores[1, :, 36:] = 0.7, 0.7
    refined = Walk(Path(), settings, net, (0.5,) * 3, (0.5,) * 3, "none")(image, scores).numpy()
    assert np.mean(refined[:, :, :20].argmax(0) == 0) > 0.9
    assert np.mean(refined[:, :, 28:].argmax(0) == 1) > 0.9


def test_a_walk_hands_on_how_truth_was_used(walked: Path, run: Path, tmp_path: Path) -> None:
    walk = tmp_path / "walk"
    shutil.copytree(walked, walk)
    config = walk / "config.yaml"
    config.write_text(config.read_text().replace("truth_used: none", "truth_used: thresholds"))
    made = make_masks(run, out=tmp_path / "masks", refine="walk", walk=str(walk))
    assert open_mask_set(made.path).manifest["truth_used"] == "thresholds"


def test_the_background_is_strongest_with_the_lower_power() -> None:
    with pytest.raises(SettingsError, match="low_alpha must be at most high_alpha"):
        WalkSettings.parse({"low_alpha": 32, "high_alpha": 4})
