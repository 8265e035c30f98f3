"""``attended`` with tokens for likely classes alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backbones import small as small_backbone
from tag2mask import evaluate, make_masks, train
from tag2mask.methods import Ask, Method
from tag2mask.methods.attended import DynamicAttended, DynamicSettings
from tag2mask.methods.attended.dynamic import RARE, Shortlist, sample_classes
from tag2mask.training.run import open_run
from tag2mask.training.settings import TrainSettings, with_method
from tag2mask.vit.vit import Features


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


@torch.no_grad()
def test_the_shortlist_starts_at_the_frequency_of_a_class() -> None:
    listed_BC = Shortlist(500, 24)(Features(torch.randn(2, 1, 24), torch.randn(2, 9, 24), (3, 3)))
    torch.testing.assert_close(listed_BC.sigmoid(), torch.full((2, 500), 2 / 500), rtol=0.01, atol=0)
    assert Shortlist(6, 24).linear.bias.tolist() == [RARE] * 6  # where classes are few, as in the other head


@torch.no_grad()
def test_a_small_object_stays_in_the_shortlist_whatever_surrounds_it() -> None:
    torch.manual_seed(0)
    shortlist = Shortlist(50, 24)
    torch.nn.init.normal_(shortlist.linear.weight)
    small_BMD, ground_BMD = torch.randn(2, 1, 24), torch.randn(2, 30, 24)
    token_BCD = torch.randn(2, 1, 24)
    alone_BC = shortlist(Features(token_BCD, small_BMD, (1, 1)))
    among_BC = shortlist(Features(token_BCD, torch.cat([ground_BMD, small_BMD], 1), (1, 31)))
    assert (among_BC >= alone_BC - 1e-5).all()
    ground_BC = shortlist(Features(token_BCD, ground_BMD, (1, 30)))
    torch.testing.assert_close(among_BC, torch.maximum(alone_BC, ground_BC))
