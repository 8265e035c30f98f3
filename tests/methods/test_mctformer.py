"""MCTformer and what it shares, against section 8.6's numbers."""

from __future__ import annotations

import math

import pytest
import torch

from numbered import START, numbered
from tag2mask.errors import SettingsError
from tag2mask.methods import Evidence, build_method
from tag2mask.methods.base import soft_margins
from tag2mask.methods.mctformer import MCTformer
from tag2mask.methods.mctformer.model import contrast
from tag2mask.methods.patch_head import rank_pooling
from tag2mask.vit.settings import BackboneSettings

TINY = BackboneSettings(name="vit_tiny_patch16_224", image_size=64, drop_path=0.0)


def build(name: str, **settings: object) -> MCTformer:
    torch.manual_seed(0)
    method, _ = build_method(name, numbered(4), TINY, settings, "none")
    assert isinstance(method, MCTformer)
    return method


def test_rank_pooling_vectors() -> None:
    scores = torch.tensor([[[[1.0, 4.0], [0.0, 2.0]]]])
    assert rank_pooling(scores).item() == pytest.approx(1.756515, abs=1e-5)
    assert rank_pooling(scores, 0.5).item() == pytest.approx(2.8)


@pytest.mark.parametrize(("classes", "wanted"), [(3, 0.551445), (20, 2.078154), (80, 3.403277)])
def test_contrast_vectors(classes: int, wanted: float) -> None:
    tags = torch.zeros(2, classes)
    tags[:, :2] = 1
    orthogonal = 5 * torch.eye(classes).expand(2, -1, -1)
    assert contrast([orthogonal, orthogonal], tags).item() == pytest.approx(wanted, abs=1e-5)
    same = torch.ones(2, classes, 8)
    assert contrast([same], tags).item() == pytest.approx(math.log(classes), abs=1e-5)


def test_soft_margin_vectors() -> None:
    tags = torch.tensor([[1.0, 0, 0, 1.0]])
    for logits, wanted in ((torch.zeros(1, 4), 0.693147), (torch.tensor([[2.0, -1, 0.5, -3]]), 1.115714)):
        terms = soft_margins(Evidence(scores_BC=logits, logits={"one": logits, "two": logits}), tags)
        assert set(terms) == {"one", "two"}
        assert terms["two"].item() == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "classes", "millions"),
    [("mctformer-v1", 20, 21.688), ("mctformer-v2", 20, 21.749), ("mctformer-v2", 80, 22.003)],
)
def test_parameters_are_the_papers_but_for_what_we_fold(name: str, classes: int, millions: float) -> None:
    """A class token of ours holds its position too, and the last norm, which nothing reads, is not kept.

    V1's published count leaves room for exactly one linear head beside the means, which its logits do not need.
    """
    method, _ = build_method(name, numbered(classes), BackboneSettings(name="deit_small_patch16_224"), {}, "none")
    folded = (classes + 2) * 384 + (385 * classes if name == "mctformer-v1" else 0)
    count = sum(parameter.numel() for parameter in method.parameters())
    assert (count + folded) / 1e6 == pytest.approx(millions, abs=6e-4)


def test_class_tokens_start_the_same_and_are_read_by_their_mean() -> None:
    method = build("mctformer-v1").eval()
    assert (method.vit.class_CD == method.vit.class_CD[0]).all()
    images = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        scores = method(images).scores_BC
        torch.testing.assert_close(scores, method.vit(images).class_BCD.mean(-1))


def test_plus_needs_tags_to_train_and_contrasts_every_layer() -> None:
    method = build("mctformer-plus")
    images, tags = torch.randn(2, 3, 64, 64), torch.eye(4)[:2]
    with pytest.raises(ValueError, match=r"shape \(2, 4\), got none"):
        method(images)
    terms = method.loss(method(images, tags), tags, START)
    assert set(terms) == {"class_tokens", "patches", "contrast"}
    assert terms["contrast"].item() > 1.0  # tokens start the same: ln 4 at the first layers
    assert set(method.eval().loss(method(images), tags, START)) == {"class_tokens", "patches"}


def test_more_map_layers_than_layers() -> None:
    with pytest.raises(SettingsError, match="the backbone has only 12"):
        build("mctformer-v1", map_layers=13)
