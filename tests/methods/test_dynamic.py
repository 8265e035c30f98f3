"""``attended`` with tokens for likely classes alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backbones import small as small_backbone
from tag2mask import evaluate, make_masks, train
from tag2mask.methods import Ask, Method
from tag2mask.methods.attended import DynamicAttended, DynamicSettings
from tag2mask.methods.attended.dynamic import sample_classes
from tag2mask.training.run import open_run
from tag2mask.training.settings import TrainSettings, with_method


@pytest.fixture
def method() -> Method:
    torch.manual_seed(0)
    return DynamicAttended(small_backbone("deit"), 500, DynamicSettings(shortlist=5, sampled=12)).eval()


def test_it_is_the_default_above_a_number_of_classes() -> None:
    assert [with_method(TrainSettings(), count).method for count in (100, 101)] == ["attended", "attended-dynamic"]
    assert with_method(TrainSettings(method="attended"), 200).method == "attended"


@torch.no_grad()
def test_a_class_is_exact_without_the_others(method: Method) -> None:
    images = torch.randn(2, 3, 64, 64)
    alone, among = (
        method(images, ask=Ask(maps=True, classes=classes)) for classes in ((7,), (3, 7, 99, 400, 450, 499))
    )
    torch.testing.assert_close(alone.maps_BChw[:, 7], among.maps_BChw[:, 7])
    torch.testing.assert_close(alone.scores_BC[:, 7], among.scores_BC[:, 7])
    assert among.maps_BChw[:, 7].max() > 0


@torch.no_grad()
def test_only_likely_and_wanted_classes_have_maps(method: Method) -> None:
    images = torch.randn(2, 3, 64, 64)
    found = method(images, ask=Ask(maps=True, classes=(7,)))
    mapped_BC = found.maps_BChw.amax((2, 3)) > 0
    assert mapped_BC.sum(1).tolist() == [5, 5]
    assert mapped_BC[:, 7].all()
    least_B = torch.where(mapped_BC, found.scores_BC, torch.inf).amin(1)
    assert (torch.where(mapped_BC, -torch.inf, found.scores_BC).amax(1) <= least_B).all()


def test_a_step_computes_the_batches_classes_and_some_negatives(method: Method) -> None:
    tags = torch.zeros(2, 500)
    tags[0, [3, 7]] = 1
    tags[1, 9] = 1
    found = method.train()(torch.randn(2, 3, 64, 64), tags)
    assert found.logits["class_tokens"].shape == (2, 12)
    terms = method.loss(found, tags, None)  # type: ignore[arg-type]
    assert terms.keys() == {"bce", "shortlist"}
    torch.stack(list(terms.values())).sum().backward()
    moved = method.vit.class_CD.grad.abs().sum(1).nonzero().flatten().tolist()
    assert len(moved) == 12
    assert {3, 7, 9} <= set(moved)


def test_sampled_classes_are_present_hard_and_random() -> None:
    torch.manual_seed(0)
    listed, tags = torch.zeros(2, 50), torch.zeros(2, 50)
    tags[0, 4] = tags[1, 5] = 1
    listed[0, [10, 11]] = 3.0
    listed[1, [4, 12]] = 9.0
    chosen = sample_classes(listed, tags, 8).tolist()
    assert len(set(chosen)) == 8
    assert chosen[:2] == [4, 5]
    assert set(chosen[2:5]) == {10, 11, 12}
    assert sorted(sample_classes(listed, tags, 99).tolist()) == list(range(50))
    assert sample_classes(listed, tags, 1).tolist() == [4, 5]


def test_it_trains_paints_and_resumes_like_any_method(squares: Path, tmp_path: Path, small: dict[str, object]) -> None:
    own = {"attended_layers": 2, "sampled": 2, "shortlist": 2}
    train(squares, tmp_path / "run", **{**small, "method": "attended-dynamic", "method_settings": own})
    assert type(open_run(tmp_path / "run").load_method()) is DynamicAttended
    made = make_masks(tmp_path / "run", split="val")
    assert evaluate(made.path, squares / "masks").images == 4
