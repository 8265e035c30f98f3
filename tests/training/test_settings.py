from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from numbered import numbered
from tag2mask.data import Classes
from tag2mask.data.reading import read_mask
from tag2mask.errors import SettingsError
from tag2mask.files import write_yaml
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import open_mask_set
from tag2mask.methods import build_method
from tag2mask.painting.make import make_masks
from tag2mask.recipes import read_recipe, recipe_names
from tag2mask.settings import flat
from tag2mask.training.batches import EpochBatches, mix
from tag2mask.training.loop import train
from tag2mask.training.run import Run, open_run
from tag2mask.training.schedule import cosine_rate, factor, optimiser_groups
from tag2mask.training.scores import tag_scores
from tag2mask.training.settings import OptimiserSettings, TrainSettings
from tag2mask.training.start import mixed_precision
from tag2mask.vit.settings import BackboneSettings


def test_defaults_then_file_then_options_then_assignments(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("epochs: 3\nseed: 5\nbackbone: {image_size: 112}\n")
    settings = TrainSettings.read(
        {"seed": 7, "backbone.name": "deit_tiny_patch16_224"},
        ["method.masking_ratio=0.2", "optimiser.lr_tokens=1e-3", "backbone.drop_path=0", "weights=none"],
        config=tmp_path / "a.yaml",
    )
    assert (settings.epochs, settings.seed, settings.weights) == (3, 7, "none")
    assert settings.backbone == BackboneSettings(name="deit_tiny_patch16_224", image_size=112, drop_path=0)
    assert settings.method_settings == {"masking_ratio": 0.2}
    assert settings.optimiser.lr_tokens == 1e-3


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epoch=3", "unknown setting epoch; did you mean epochs?"),
        ("optimiser.lr_token=1", "unknown setting optimiser.lr_token; did you mean optimiser.lr_tokens?"),
        ("epochs=0", "epochs: expected a number greater than 0, got 0"),
        (
            "optimiser.lr=1",
            "unknown setting optimiser.lr; did you mean optimiser.lr_backbone or optimiser.lr_tokens or",
        ),
        ("lr=1", "unknown setting lr; did you mean optimiser.lr_backbone or optimiser.lr_tokens or"),
        ("optim.lr=1", "unknown setting optim.lr; did you mean optimiser.lr_backbone or optimiser.lr_tokens or"),
        ("optimizer.lr_tokens=1", "unknown setting optimizer.lr_tokens; did you mean optimiser.lr_tokens?"),
        ("epochs=many", "epochs: expected a whole number, got 'many'"),
        ("epochs=2.5", "epochs: expected a whole number, got 2.5"),
        ("optimiser.clip=much", "optimiser.clip: expected a number, got 'much'"),
        ("warm_start=maybe", "warm_start: expected true or false, got 'maybe'"),
        ("split=3", "split: expected text, got 3"),
        ("optimiser=3", "optimiser: expected a dictionary, got 3"),
        ("precision=fp8", "precision: expected 'auto', 'fp32', 'bf16' or 'fp16', got 'fp8'"),
        ("epochs", "--set epochs: expected KEY=VALUE"),
        ("seed.x=1", "seed"),
    ],
)
def test_wrong_settings_are_one_line(assignment: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        TrainSettings.read({"seed": 1}, [assignment])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_backbone_can_be_given_by_its_name() -> None:
    assert TrainSettings.parse({"backbone": "vit_tiny_patch16_224"}) == TrainSettings.parse(
        {"backbone": {"name": "vit_tiny_patch16_224"}}
    )
    with pytest.raises(SettingsError, match="backbone: expected a dictionary, got 3"):
        TrainSettings.parse({"backbone": 3})


@pytest.mark.parametrize("content", ["- a list", "a: [", "just text"])
def test_files_that_hold_no_settings(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(SettingsError, match=r"a\.yaml"):
        TrainSettings.read({}, config=tmp_path / "a.yaml")
    with pytest.raises(SettingsError, match=r"none\.yaml: cannot be read"):
        TrainSettings.read({}, config=tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("recipe", "wanted"),
    [
        ("mctformer-v2", {0: 1e-6, 1: 1e-6, 2: 1.33e-5, 3: 2.56e-5, 6: 6.160555e-5, 11: 5.898317e-5, 31: 3.625e-5}),
        ("voc-weaktr", {0: 1e-6, 1: 1e-6, 2: 1.58e-5, 5: 6.02e-5, 6: 7.389259e-5, 11: 7.064583e-5, 31: 4.25e-5}),
        ("coco-weaktr", {0: 1e-6, 1: 1e-6, 2: 5.8e-6, 5: 2.02e-5, 6: 2.474444e-5}),
        ("mctformer-plus", {0: 1e-6, 1: 1e-6, 6: 3.060923e-5}),
    ],
)
def test_parity_gives_the_released_rates(recipe: str, wanted: dict[int, float]) -> None:
    """Vectors of reference_methods.md section 8.2; epoch e runs at f(max(0, e - 1))."""
    settings = TrainSettings.read({}, ["optimiser.parity=true"], recipe)
    for epoch, rate_there in wanted.items():
        for step in (7 * epoch, 7 * epoch + 6):  # all steps of an epoch alike
            share = factor(step, 7 * settings.epochs, settings.epochs, settings.optimiser)
            assert settings.optimiser.lr_tokens * share == pytest.approx(rate_there, rel=1e-4)


def test_without_parity_the_base_rate_is_reached() -> None:
    settings = TrainSettings.read({}, [], "mctformer-v2")
    rates = [factor(step, 600, 60, settings.optimiser) for step in range(600)]
    assert max(rates) == 1.0
    assert rates[-1] == pytest.approx(0.16, abs=1e-4)
    assert rates[0] < rates[1] < rates[10]


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_trains_and_paints(name: str, squares: Path, small: dict[str, Any]) -> None:
    tiny = {key: small[key] for key in ("weights", "precision")} | {"epochs": 1, "batch_size": 4}
    named = {**tiny, **{f"backbone.{key}": value for key, value in small["backbone"].items()}}
    settings = TrainSettings.read(named, ["backbone.depth=3"], name)
    train(squares, squares / "run", settings)
    recipe = read_recipe(name)
    trained = open_run(squares / "run").settings
    assert trained.method == recipe.of("train")["method"]
    told = trained.optimiser.model_dump(mode="json")
    assert told | recipe.of("train").get("optimiser", {}) == told
    masks = MaskSettings.read({"split": "val"}, ["paint.background.value=0.1"], name)
    assert make_masks(squares / "run", settings=masks).images == 4
    made = open_mask_set(squares / "run/masks-val")
    painted, wanted = (
        flat(made.manifest["settings"]),
        flat(MaskSettings.read({}, [], name).model_dump(mode="json")),
    )
    for key in flat(recipe.of("masks")).keys() - {"paint.background.value", "refine.crf"}:
        assert painted[key] == wanted[key], key
    assert len({int(value) for mask in made.names() for value in np.unique(read_mask(made.mask(mask)))}) > 1


def test_recipes_are_listed_and_unknown_ones_named() -> None:
    assert {"voc-mctformer-v1", "voc-mctformer-v2", "voc-mctformer-plus", "voc-weaktr"} <= set(recipe_names())
    assert read_recipe("mctformer-plus") == read_recipe("voc-mctformer-plus")  # its name in 0.1
    assert read_recipe("voc-weaktr").title == "WeakTr's CAM network on VOC 2012 (Zhu et al., 2023)"
    with pytest.raises(SettingsError, match="recipe 'weaktor' is unknown; there are "):
        TrainSettings.read({}, [], "weaktor")
    changed = TrainSettings.read({"epochs": 3}, ["optimiser.warmup=0"], "mctformer-v1")
    assert (changed.epochs, changed.optimiser.warmup, changed.optimiser.weight_decay) == (3, 0, 0.05)


@pytest.mark.parametrize(
    ("recipe", "kinds"),
    [
        ("mctformer-v2", {"backbone", "heads"}),
        ("mctformer-plus", {"backbone", "heads", "positions"}),
        ("voc-weaktr", {"backbone", "heads", "tokens", "positions", "vectors"}),
    ],
)
def test_decay_works_on_the_kinds_that_are_named(recipe: str, kinds: set[str]) -> None:
    settings = TrainSettings.read({"weights": "none", "backbone.depth": 3}, [], recipe)
    method, _ = build_method(settings.method, numbered(3), settings.backbone, {}, "none")
    decayed = {
        id(parameter)
        for group in optimiser_groups(method.parameter_groups(), settings.optimiser)
        for parameter in group["params"]
        if group["weight_decay"] > 0
    }
    for group in method.parameter_groups():
        for parameter in group.parameters:
            assert (id(parameter) in decayed) == (group.kind in kinds), group.kind
    found = {group.kind for group in method.parameter_groups() if group.parameters}
    assert found == {"backbone", "heads", "tokens", "positions", "vectors"}


def test_rate_rises_then_falls_as_a_cosine() -> None:
    settings = OptimiserSettings(warmup=0.1, final=0.0)
    assert [cosine_rate(step, 100, settings) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert cosine_rate(10, 100, settings) == 1.0
    assert cosine_rate(55, 100, settings) == pytest.approx(0.5)
    assert cosine_rate(99, 100, settings) == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))
    assert cosine_rate(0, 1, settings) == 1.0


def test_batches_are_a_function_of_seed_and_epoch() -> None:
    whole = list(EpochBatches(10, 4, seed=1, epoch=2))
    assert [len(batch) for batch in whole] == [4, 4, 2]
    assert sorted(index for batch in whole for _, index in batch) == list(range(10))
    assert list(EpochBatches(10, 4, seed=1, epoch=2, start=1)) == whole[1:]
    assert list(EpochBatches(10, 4, seed=1, epoch=3)) != whole
    assert list(EpochBatches(10, 4, seed=2, epoch=2)) != whole


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_processes_share_the_batches_of_one(processes: int) -> None:
    """Of 9 images the last batch of 4 has one, and all but one process have none of their own."""
    per_process = 4 // processes
    size = per_process * processes
    whole = list(EpochBatches(2 * size + 1, size, seed=1, epoch=2))
    shares = [EpochBatches(2 * size + 1, per_process, 1, 2, 0, processes, rank) for rank in range(processes)]
    for place, parts in enumerate(zip(*shares, strict=True)):
        counted = [part[: share.sizes(place)[0]] for part, share in zip(parts, shares, strict=True)]
        assert sorted(item for part in counted for item in part) == sorted(whole[place])
        assert {share.sizes(place)[1] for share in shares} == {len(whole[place])}
        assert all(parts)
    assert [len(share) for share in shares] == [3] * processes
    assert len({mix(a, b) for a in range(50) for b in range(50)}) == 2500


def test_tag_scores_leave_out_classes_nobody_has() -> None:
    tags = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    scores = np.array([[3.0, -1, 0], [-1.0, 2, 0], [1.0, -2, 0]])
    found = tag_scores(scores, tags)
    assert found.ap_per_class == pytest.approx((1.0, (1 + 2 / 3) / 2, None))
    assert found.mean_ap == pytest.approx((1.0 + (1 + 2 / 3) / 2) / 2)
    assert found.f1 == pytest.approx((1.0 + 2 / 3) / 2)
    assert found.threshold == pytest.approx(0.5)
    assert tag_scores(scores, np.zeros((3, 3))).mean_ap == 0


def test_rare_tags_are_predicted_below_one_half_and_common_ones_at_one_half() -> None:
    generator = np.random.default_rng(0)
    tags = generator.random((400, 5)) < 0.05
    scores = np.where(tags, generator.normal(-2, 0.5, tags.shape), generator.normal(-5, 0.5, tags.shape))
    found = tag_scores(scores, tags)
    assert found.threshold == pytest.approx(1 / (1 + np.exp(3.5)), abs=0.02)
    assert found.f1 > 0.95
    shifted = tag_scores(scores + 3.3, tags)  # the best level is near 0: a few images do not move it
    assert shifted.threshold == pytest.approx(0.5)


def test_the_threshold_of_a_run_is_that_of_its_kept_epoch(tmp_path: Path) -> None:
    rows = [(0.5, 0.1), (0.9, 0.2), (0.9, 0.3), (0.8, 0.4)]
    lines = [
        {"epoch": number, "loss": {"bce": 1.0}, "val_ap": ap, "val_tag_threshold": level, "val_ap_per_class": [ap]}
        for number, (ap, level) in enumerate(rows, start=1)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    run = Run(tmp_path, TrainSettings(), Classes(("cow",), None), None, (0.5,) * 3, (0.5,) * 3, None)
    assert run.tag_threshold() == 0.3
    (tmp_path / "metrics.jsonl").unlink()
    assert run.tag_threshold() == 0.5


@pytest.mark.parametrize("odd", ["no", "1e3", "012", "null", "2024-13-45", "yes: no"])
def test_settings_survive_the_file(odd: str, tmp_path: Path) -> None:
    optimiser = OptimiserSettings(lr_backbone=1e-7, clip=None, decay=("backbone", "heads"))
    settings = TrainSettings(
        method_settings={"registers": 0}, weights=odd, split=odd, val_split=odd, optimiser=optimiser
    )
    write_yaml(tmp_path / "config.yaml", settings.model_dump(mode="json"))
    assert TrainSettings.read({}, config=tmp_path / "config.yaml") == settings


def test_fp16_wants_a_gpu() -> None:
    if torch.cuda.is_available():
        assert mixed_precision("fp16") == "fp16"
    else:
        with pytest.raises(SettingsError, match="needs a GPU"):
            mixed_precision("fp16")
    assert mixed_precision("fp32") == "no"
