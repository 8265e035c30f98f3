"""The probe: its sure patches, its linear layer and priors, and the verbs around it."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from command import call
from tag2mask import evaluate, make_masks, train
from tag2mask.data import Sample, open_dataset
from tag2mask.data.loading import load_image
from tag2mask.data.reading import read_mask
from tag2mask.errors import RunError, SettingsError
from tag2mask.masks.localize import Localizer
from tag2mask.masks.resolve import resolve_masks, tagged_samples
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import open_mask_set
from tag2mask.painting.painter import Painter
from tag2mask.probe import patches as gathering
from tag2mask.probe import train as module
from tag2mask.probe.linear import (
    NEVER,
    UNSURE,
    LinearProbe,
    confident_labels,
    estimate_priors,
    fit_probe,
)
from tag2mask.probe.probe import open_probe
from tag2mask.probe.settings import ProbeSettings
from tag2mask.probe.sure_patches import empty_patches, sure_patches, unanimous_labels
from tag2mask.probe.train import train_probe
from tag2mask.refine import on_image as refining
from tag2mask.tensors import write_tensors
from tag2mask.training.interrupt import Interrupt
from tag2mask.training.run import open_run

QUICK = ProbeSettings(steps=60, batch_size=64, lr=0.05)


def clouds(shares: tuple[float, ...], count: int = 3000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points around one centre a class, so close that classes overlap, and their classes."""
    generator = torch.Generator().manual_seed(seed)
    labels_N = torch.multinomial(torch.tensor(shares), count, replacement=True, generator=generator)
    centres_SD = 2.5 * torch.eye(len(shares), 4)
    return centres_SD[labels_N] + torch.randn(count, 4, generator=generator), labels_N


def fitted(features_ND: torch.Tensor, labels_N: torch.Tensor, scores: int) -> LinearProbe:
    even_N = torch.ones(len(labels_N))
    return fit_probe(features_ND, labels_N, even_N, scores, 300, 512, 0.05, 1e-4, torch.Generator().manual_seed(0))


def alone(image_N: torch.Tensor) -> torch.Tensor:
    """Patches without neighbours."""
    return torch.zeros(len(image_N), 2, dtype=torch.int32)


def test_sure_patches_are_high_and_lead_and_background_is_low() -> None:
    maps = torch.tensor([[[1.0, 0.8, 0.04, 0.3, 0.0]], [[0.0, 0.7, 0.04, 0.05, 1.0]]])
    assert sure_patches(maps, [0, 2], True, 0.5, 0.2, 0.1).tolist() == [[1, UNSURE, 0, UNSURE, 3]]
    assert sure_patches(maps, [0, 2], False, 0.5, 0.2, 0.1).tolist() == [[0, UNSURE, UNSURE, UNSURE, 2]]


def test_a_tag_without_any_sure_patch_has_the_one_where_it_leads() -> None:
    maps = torch.tensor([[[1.0, 0.9, 0.0]], [[0.95, 1.0, 0.0]]])
    assert sure_patches(maps, [0, 1], True, sure=0.5, margin=0.2, bare=0.1).tolist() == [[1, 2, 0]]


def test_a_tag_without_any_map_has_no_patch() -> None:
    maps = torch.tensor([[[1.0, 0.0, 0.6]], [[0.0, 0.0, 0.0]]])
    assert sure_patches(maps, [0, 1], True, sure=0.5, margin=0.2, bare=0.1).tolist() == [[1, 0, 1]]


def test_an_image_without_tags_is_all_background() -> None:
    nothing = torch.zeros(0, 2, 3)
    assert (sure_patches(nothing, [], True, 0.5, 0.2, 0.1) == 0).all()
    assert (sure_patches(nothing, [], False, 0.5, 0.2, 0.1) == UNSURE).all()


def test_looks_agree_on_what_all_of_them_say() -> None:
    labels_NL = torch.tensor([[1, 1], [1, UNSURE], [0, 2], [UNSURE, UNSURE]])
    assert unanimous_labels(labels_NL).tolist() == [1, UNSURE, UNSURE, UNSURE]


def test_the_fit_is_balanced_and_scores_without_a_sure_patch_never_win() -> None:
    features_ND, labels_N = clouds((0.9, 0.1))
    probe = fitted(features_ND, labels_N, 3)
    assert probe.bias_S[2] == NEVER
    logits_NS = probe(features_ND)
    # Between two balanced Gaussians of deviation 1 the boundary lies half way: x_0 = x_1.
    gap_N = features_ND[:, 0] - features_ND[:, 1]
    assert ((logits_NS[:, 0] > logits_NS[:, 1]) == (gap_N > 0)).float().mean() > 0.97


def test_priors_are_found_without_labels_and_within_tags() -> None:
    """Trained on balanced clouds, it finds how common each is where only some may be; all classes share a prior."""
    probe = fitted(*clouds((1 / 3, 1 / 3, 1 / 3)), 3)
    with_1, _ = clouds((0.8, 0.2, 0.0), seed=1)
    with_2, _ = clouds((0.6, 0.0, 0.4), seed=2)
    features_ND = torch.cat([with_1, with_2])
    image_N = torch.arange(2).repeat_interleave(3000)
    allowed_IS = torch.tensor([[True, True, False], [True, False, True]])
    priors_S, shares_S = estimate_priors(probe, features_ND, image_N, allowed_IS, background=True)
    torch.testing.assert_close(shares_S, torch.tensor([0.7, 0.2, 0.4]), atol=0.05, rtol=0)
    torch.testing.assert_close(priors_S, torch.tensor([0.7, 0.3, 0.3]), atol=0.05, rtol=0)


def test_a_class_without_a_sure_patch_takes_nothing_from_the_others_prior() -> None:
    probe = fitted(*clouds((0.5, 0.5)), 3)
    features_ND, _ = clouds((0.6, 0.4), seed=1)
    allowed_IS = torch.ones(1, 3, dtype=torch.bool)
    priors_S, _ = estimate_priors(probe, features_ND, torch.zeros(3000, dtype=torch.long), allowed_IS, background=True)
    torch.testing.assert_close(priors_S[:2], torch.tensor([0.6, 0.4]), atol=0.05, rtol=0)
    assert probe.with_priors(priors_S)(features_ND).argmax(1).max() < 2


def test_labels_count_less_where_other_tags_compete() -> None:
    """Class 0 is sure of one cloud in an image of its own, and of another, which class 1 also has, where both are tags.

    It is then a third of what class 0 is sure of, not a half.
    """
    features_ND, cloud_N = clouds((1 / 3, 2 / 3))
    labels_N = torch.where((cloud_N == 1) & (torch.arange(len(cloud_N)) % 2 == 0), 1, 0)
    allowed_IS = torch.tensor([[True, False], [True, True]])
    empty_N = torch.zeros(len(cloud_N), dtype=torch.bool)
    labels_N1, image_N = labels_N[:, None].int(), cloud_N.int()
    patches = gathering.Patches(8 * features_ND.half(), labels_N1, empty_N, image_N, alone(image_N), allowed_IS)
    settings = ProbeSettings(steps=1000, batch_size=1024, lr=0.05, weight_decay=0.0)
    probe, _ = module.learn_once(patches, labels_N, settings, background=False)
    logits_NS = probe(patches.feature_ND[cloud_N == 1])
    assert (logits_NS[:, 1] - logits_NS[:, 0]).median().item() == pytest.approx(np.log(3), abs=0.15)


def test_a_round_learns_what_the_layer_before_is_confident_of() -> None:
    probe = LinearProbe(torch.tensor([[1.0], [0.0], [NEVER]]), torch.zeros(3))
    features_ND = torch.tensor([[5.0], [5.0], [0.5], [-5.0], [-0.5]])
    labels_N = torch.tensor([UNSURE, 1, 0, 0, 2])
    allowed_IS = torch.tensor([[True, True, False]])
    found_N = confident_labels(probe, features_ND, torch.zeros(5, dtype=torch.long), allowed_IS, labels_N, 0.9)
    assert found_N.tolist() == [0, 0, UNSURE, 1, 2]  # of the third score nothing is confident: it keeps its label


@pytest.mark.parametrize(("share", "small"), [(0.03, True), (0.4, False)])
def test_small_classes_are_labelled_by_the_last_look_and_large_ones_by_all(share: float, small: bool) -> None:
    features_ND, true_N = clouds((1 - share, share))
    unsure_N = torch.where(features_ND[:, 2] > 0, true_N, UNSURE)
    image_N = torch.zeros(len(true_N), dtype=torch.int32)
    labels_NL = torch.stack([unsure_N, true_N], 1)
    none_N = torch.zeros_like(image_N).bool()
    allowed_IS = torch.ones(1, 2, dtype=torch.bool)
    patches = gathering.Patches(features_ND.half(), labels_NL, none_N, image_N, alone(image_N), allowed_IS)
    found = module.learn_layers(patches, QUICK.model_copy(update={"rounds": 1}), True, Interrupt())
    assert found.small == small
    labels_N = true_N if small else unsure_N
    assert found.sure_S.tolist() == torch.bincount(labels_N[labels_N != UNSURE]).tolist()


def test_where_all_maps_are_empty_further_rounds_learn_background() -> None:
    """Water looks more like the boat than like the land, and has no sure label."""
    features_ND, place_N = clouds((0.5, 0.2, 0.3))  # land, boat, water
    water_N = place_N == 2
    features_ND[water_N, 1] += 2.5
    labels_NL = place_N.masked_fill(water_N, UNSURE)[:, None]
    image_N, allowed_IS = torch.zeros_like(place_N).int(), torch.ones(1, 2, dtype=torch.bool)
    boats = []
    for empty_N in (torch.zeros_like(water_N), water_N, torch.ones_like(water_N)):
        patches = gathering.Patches(features_ND.half(), labels_NL, empty_N, image_N, alone(image_N), allowed_IS)
        found = module.learn_layers(patches, QUICK.model_copy(update={"rounds": 2}), True, Interrupt())
        boats.append((found.probe(features_ND[water_N]).argmax(1) == 1).float().mean().item())
    assert boats[0] > 0.8
    assert boats[1] < 0.2
    assert found.probe.bias_S[1] > NEVER  # all patches are empty, but no class vanishes


def test_patches_are_empty_where_every_map_is_low() -> None:
    maps = torch.tensor([[[0.0, 1.0, 0.01]], [[0.0, 0.03, 3.0]]])
    assert empty_patches(maps, 0.02).tolist() == [[True, False, False]]
    assert empty_patches(torch.zeros(0, 1, 2), 0.02).all()


@pytest.fixture
def learned(squares: Path, small: dict[str, Any], tmp_path: Path) -> Path:
    """A run without a background that knows its colours."""
    train(squares, tmp_path / "run", **{**small, "epochs": 12, "optimiser": {"lr_backbone": 1e-3}})
    return tmp_path / "run"


def test_a_probe_paints_what_it_learned_and_says_so(learned: Path, squares: Path, tmp_path: Path) -> None:
    summary = train_probe(learned, tmp_path / "probe", QUICK)
    assert summary.images == 8
    assert all(count > 0 for count in summary.sure.values())
    assert not (tmp_path / "probe/patches.safetensors").exists()
    assert train_probe(learned, tmp_path / "probe", QUICK) == summary
    made = make_masks(learned, out=tmp_path / "masks", refine="probe", probe=str(tmp_path / "probe"))
    scores = evaluate(made.path, squares / "masks").to_json()
    assert scores["miou"] > scores["random_miou"]
    manifest = open_mask_set(made.path).manifest
    assert manifest["probe"]["name"] == "probe"
    assert manifest["truth_used"] == "none"


def test_a_probes_probabilities_are_the_scores(learned: Path, tmp_path: Path) -> None:
    train_probe(learned, tmp_path / "probe", QUICK)
    settings = {"refine": "probe", "probe": str(tmp_path / "probe"), "scores": True, "unsure": 0.9}
    made = open_mask_set(make_masks(learned, out=tmp_path / "masks", **settings).path)
    run, probe, ignored = open_run(learned), open_probe(tmp_path / "probe"), 0
    method = run.load_method()
    for name, scores in made.scores(made.names()).items():
        image = load_image(tmp_path / f"squares/images/{name}.png", run.settings.data)
        with torch.no_grad():
            likely_SYX = probe(run, method, image, scores.values)
        planes = torch.from_numpy(scores.read())
        means_Shw = F.adaptive_avg_pool2d(likely_SYX, planes.shape[1:])
        torch.testing.assert_close(planes / 255, means_Shw, atol=0.5 / 255 + 1e-6, rtol=0)
        unsure_YX = likely_SYX.amax(0).numpy() < 0.9
        assert ((read_mask(made.mask(name)) == 255) == unsure_YX).all()
        ignored += unsure_YX.sum()
    assert ignored > 0


def test_without_a_background_the_tags_keep_their_own_scores(run: Path, tmp_path: Path) -> None:
    train_probe(run, tmp_path / "probe", QUICK)
    opened = open_run(run)
    sample = next(one for one in open_dataset(opened.data, opened.settings.data, "train") if len(one.tags or ()) > 1)
    image, tags = load_image(sample.image, opened.settings.data), sorted(sample.tags or ())
    refine = {"names": ("probe",), "probe": str(tmp_path / "probe")}
    scores = []
    for policy in ("threshold", "none"):
        settings = MaskSettings.parse({"refine": refine, "paint": {"background": {"policy": policy}}})
        painter = Painter(opened, resolve_masks(settings, opened))
        scores.append(painter.scores(painter.look([(sample, image)])[0], tags, image))
    with_background, without = scores
    assert len(with_background) == len(tags) + 1
    assert len(without) == len(tags)
    own = with_background[1:] / with_background[1:].sum(0)
    sure = with_background[1:].sum(0) > 0.2
    assert np.abs(own - without)[:, sure].max() < 0.1  # pixels interpolate probabilities of patches


def test_guided_upsampling_knows_the_probes_patches(
    learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of 48 x 48 and 48 x 56 pixels, patches of 8: the run sees them at 32, the probe at twice that."""
    train_probe(learned, tmp_path / "probe", QUICK.model_copy(update={"scales": (1.0, 2.0)}))
    grids: set[tuple[int, int]] = set()

    def spy(image: torch.Tensor, scores_SYX: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        grids.add(grid)
        return scores_SYX

    monkeypatch.setattr(refining, "guided", spy)
    make_masks(learned, out=tmp_path / "maps", refine="guided")
    assert grids == {(4, 4), (4, 5)}
    grids.clear()
    make_masks(learned, out=tmp_path / "masks", refine="probe,guided", probe=str(tmp_path / "probe"))
    assert grids == {(8, 8), (8, 9)}


def test_stopped_and_called_again_it_learns_the_same(
    learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_probe(learned, tmp_path / "whole", QUICK)
    seen: list[int] = []
    patches_of = gathering.patches_of

    def interrupted(*arguments: Any) -> Any:
        seen.append(arguments[3])
        if len(seen) == 4:
            raise KeyboardInterrupt
        return patches_of(*arguments)

    monkeypatch.setattr(gathering, "patches_of", interrupted)
    always = QUICK.model_copy(update={"save_minutes": 0.0})
    with pytest.raises(KeyboardInterrupt):
        train_probe(learned, tmp_path / "probe", always)
    train_probe(learned, tmp_path / "probe", always)
    assert seen == [0, 1, 2, 3, 3, 4, 5, 6, 7]
    whole, resumed = open_probe(tmp_path / "whole"), open_probe(tmp_path / "probe")
    torch.testing.assert_close(whole.linear.weight_SD, resumed.linear.weight_SD, atol=0, rtol=0)


def test_an_image_that_cannot_be_read_is_named_and_left_out(learned: Path, squares: Path, tmp_path: Path) -> None:
    (squares / "images/p00.png").write_bytes(b"no image")
    summary = train_probe(learned, tmp_path / "probe", QUICK)
    assert (summary.images, list(summary.failures)) == (7, ["p00"])


def test_stopped_and_called_again_it_still_names_what_could_not_be_read(
    learned: Path, squares: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (squares / "images/p00.png").write_bytes(b"no image")
    interrupt, patches_of = Interrupt(), gathering.patches_of

    def interrupted(*arguments: Any) -> Any:
        interrupt.asked = arguments[3] == 2
        return patches_of(*arguments)

    monkeypatch.setattr(gathering, "patches_of", interrupted)
    opened = open_run(learned)
    settings = module.resolve_probe(QUICK, opened)
    localizer = Localizer(opened, settings.masks)
    samples = tagged_samples(opened, settings.masks, "a probe")
    with pytest.raises(KeyboardInterrupt):
        gathering.gather_patches(localizer, samples, settings, tmp_path, interrupt)
    interrupt.asked = False
    _, failures = gathering.gather_patches(localizer, samples, settings, tmp_path, interrupt)
    assert list(failures) == ["p00"]


def test_stopped_while_learning_nothing_is_seen_again(
    learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_once = module.learn_once

    def interrupted(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return learn_once(*arguments)

    monkeypatch.setattr(module, "learn_once", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_probe(learned, tmp_path / "probe", QUICK)
    monkeypatch.setattr(module, "learn_once", learn_once)
    monkeypatch.delattr(gathering, "patches_of")
    assert train_probe(learned, tmp_path / "probe", QUICK).images == 8


@pytest.mark.parametrize("name", ["probe.safetensors", "patches.safetensors"])
@pytest.mark.parametrize("kind", ["empty", "noise", "other"])
def test_damaged_tensors_are_named(learned: Path, tmp_path: Path, name: str, kind: str) -> None:
    out = tmp_path / "probe"
    train_probe(learned, out, QUICK)
    (out / "probe.safetensors").unlink()
    if kind == "other":
        write_tensors(out / name, {"weight": torch.ones(2)}, {})
    else:
        (out / name).write_bytes(b"" if kind == "empty" else bytes(range(256)))
    with pytest.raises(RunError, match=f"{name} is damaged"):
        open_probe(out) if name == "probe.safetensors" else train_probe(learned, out, QUICK)


def test_an_unlikely_tag_has_its_own_map(squares: Path, small: dict[str, Any], tmp_path: Path) -> None:
    """The shortlist has one place, and both tags of an image are learned from all the same."""
    method_settings = {**small["method_settings"], "shortlist": 1}
    train(squares, tmp_path / "run", **{**small, "method_settings": method_settings, "epochs": 1})
    opened = open_run(tmp_path / "run")
    settings = module.resolve_probe(QUICK, opened)
    asked: list[Any] = []
    look = gathering.look
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "look", lambda *given: asked.append(look(*given)) or asked[-1])
        sample = Sample("p00", squares / "images/p00.png", (0, 2))
        gathering.patches_of(Localizer(opened, settings.masks), sample, settings, 0, 10**6)
    assert all(bool(seen.evidence.maps_BChw[0, tag].any()) for seen in asked for tag in (0, 2))


def test_an_image_without_tags_teaches_the_background(trained: Path, squares: Path) -> None:
    opened = open_run(trained / "run")
    settings = module.resolve_probe(QUICK, opened)
    sample = Sample("p00", squares / "images/p00.png", ())
    patches = gathering.patches_of(Localizer(opened, settings.masks), sample, settings, 0, 10**6)
    assert len(patches.label_NL) == 16
    assert (patches.label_NL == 0).all()
    assert patches.allowed_IS.tolist() == [[True, False, False, False]]


def test_without_a_background_an_image_without_tags_teaches_nothing(squares: Path, tmp_path: Path, small: Any) -> None:
    labels = squares / "labels.csv"
    labels.write_text(labels.read_text().replace("p00.png,green;blue", "p00.png,"))
    run = train(squares, tmp_path / "run", **small).run
    assert any(sample.tags == () for sample in open_dataset(squares, open_run(run).settings.data, "train"))
    summary = train_probe(run, tmp_path / "probe", QUICK)
    probe = open_probe(summary.path)
    assert probe.linear.weight_SD.isfinite().all()
    assert probe.linear.bias_S.isfinite().all()


def test_features_stay_within_their_budget(learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "FEWEST", 3)
    kept: list[int] = []
    patches_of = gathering.patches_of

    def counted(*arguments: Any) -> Any:
        part = patches_of(*arguments)
        kept.append(len(part.feature_ND))
        return part

    monkeypatch.setattr(gathering, "patches_of", counted)
    monkeypatch.setattr(gathering, "MEGABYTE", 1)
    train_probe(learned, tmp_path / "probe", QUICK.model_copy(update={"memory": 2 * 24 * 8 * 5}))
    assert len(kept) == 8
    assert set(kept) <= {3, 4}  # two pairs, which may share a patch


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"refine": "probe"}, "run has no probe: train one with tag2mask train-probe"),
        ({"refine": "crf", "probe": "PROBE"}, "--refine probe and --probe PROBE must be given together"),
        ({"refine": "probe", "probe": "PROBE", "paint": "ordered"}, "leave out rule=ordered"),
    ],
)
def test_settings_that_exclude_each_other(run: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make_masks(run, out=run.parent / "other", **settings)


def test_folders_that_are_no_probe_of_this_run(trained: Path, learned: Path, squares: Path, tmp_path: Path) -> None:
    run = trained / "run"
    with pytest.raises(RunError, match=r"is not a probe: config\.yaml is missing"):
        make_masks(run, out=tmp_path / "masks", refine="probe", probe=str(squares))
    train_probe(learned, tmp_path / "probe", QUICK)
    with pytest.raises(SettingsError, match="was trained with another run than"):
        make_masks(run, out=tmp_path / "masks", refine="probe", probe=str(tmp_path / "probe"))
    with pytest.raises(RunError, match=r"was begun with settings\.steps = 60, not 61; choose another --out"):
        train_probe(learned, tmp_path / "probe", QUICK.model_copy(update={"steps": 61}))
    with pytest.raises(RunError, match="is not empty; choose another --out"):
        train_probe(learned, squares / "splits", QUICK)
    with pytest.raises(SettingsError, match="a probe learns from unrefined class maps"):
        train_probe(learned, tmp_path / "other", ProbeSettings.parse({"masks": {"refine": "pamr"}}))
    with pytest.raises(SettingsError, match="a probe sees images at its own scales; set scales"):
        train_probe(learned, tmp_path / "other", ProbeSettings.parse({"masks": {"flip": True}}))


def test_the_command(
    learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "train-probe", learned, "--out", tmp_path / "p", "--set", "steps=20") == 0
    assert "8 images, " in capsys.readouterr().out
