"""WeakTr: the fusion's size, its gradients, its equations."""

from __future__ import annotations

import math

import pytest
import torch

from numbered import START, numbered
from tag2mask.masks.settings import MaskSettings
from tag2mask.methods import Ask, Evidence, build_method
from tag2mask.methods.base import soft_margins
from tag2mask.methods.weaktr import WeakTr
from tag2mask.methods.weaktr.model import AdaptiveFusion
from tag2mask.refine.chain import refine_patches
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.tap import Tap

TINY = BackboneSettings(name="vit_tiny_patch16_224", image_size=64, drop_path=0.0)


def build(**settings: object) -> WeakTr:
    torch.manual_seed(0)
    method, _ = build_method("weaktr", numbered(4), TINY, settings, "none")
    assert isinstance(method, WeakTr)
    return method


def test_the_fusion_has_1825_parameters() -> None:
    sizes = [parameter.numel() for parameter in AdaptiveFusion(72, 64, 8).parameters()]
    assert sum(sizes) == 1825
    assert len(sizes) == 6


def test_a_fusion_without_weights_halves_every_head() -> None:
    fusion = AdaptiveFusion(36, 64, 8)
    torch.nn.init.zeros_(fusion.across[2].weight)
    assert torch.equal(fusion(torch.randn(2, 36, 64)), torch.full((2, 36), 0.5))


def test_the_fine_loss_trains_the_fusion_alone() -> None:
    method = build()
    images, tags = torch.randn(2, 3, 64, 64), torch.eye(4)[:2]
    method.loss(method(images, tags), tags, START)["fine"].backward()
    moved = {name for name, parameter in method.named_parameters() if parameter.grad is not None}
    assert moved == {f"fusion.{name}" for name, _ in method.fusion.named_parameters()}


def test_equal_weights_are_the_plain_mean_over_heads_and_layers() -> None:
    method = build().eval()
    torch.nn.init.zeros_(method.fusion.across[2].weight)  # W' = 1/2 everywhere
    images, layers = torch.randn(2, 3, 48, 64), frozenset(range(12))
    with torch.no_grad():
        evidence = method(images, ask=Ask(maps=True, affinity=True))
        tap = Tap(layers, layers)
        features = method.vit(images, tap)
        affinity = tap.affinity_BMM / 12 / 2
        attention = tap.class_maps(layers) / 12 / 2
        seed = method.patch_head(features).relu().flatten(2) * attention
    torch.testing.assert_close(evidence.affinity_BMM, affinity)
    torch.testing.assert_close(evidence.maps_BChw.flatten(2), seed)
    wanted = torch.einsum("bmn,bcn->bcm", affinity, seed)
    torch.testing.assert_close(evidence.logits["fine"], wanted.mean(-1))
    refined = refine_patches(evidence, evidence.maps_BChw, ("affinity",))
    torch.testing.assert_close(refined.flatten(2), wanted)


@pytest.mark.parametrize("name", ["voc-weaktr", "coco-weaktr"])
def test_the_recipes_spread_once(name: str) -> None:
    assert MaskSettings.read({}, [], name).refine.names == ("affinity", "crf")
    method = build().eval()
    with torch.no_grad():
        evidence = method(torch.randn(1, 3, 64, 64), ask=Ask(maps=True, affinity=True))
    refined = refine_patches(evidence, evidence.maps_BChw, MaskSettings.read({}, [], name).refine.names)
    # The fine logits are means over the maps that the paper cuts: P seed, and not P P seed.
    torch.testing.assert_close(refined.mean((2, 3)), evidence.logits["fine"])


def test_the_fine_loss_has_a_floor_that_a_learned_scale_removes() -> None:
    images, tags = torch.randn(2, 3, 64, 64), torch.eye(4)[:2]
    method = build().eval()
    evidence = method(images)
    assert (evidence.logits["fine"] >= 0).all()
    assert method.loss(evidence, tags, START)["fine"].item() >= 0.75 * math.log(2)
    # Section 8.6: at VOC's 1.5553 tags of 20 classes, all of the negatives at 0 leave 0.639245.
    perfect = Evidence(torch.empty(0), {"fine": torch.tensor([[100.0] * 15553 + [0.0] * (200000 - 15553)])})
    tags_of_voc = (perfect.logits["fine"] > 0).float()
    assert soft_margins(perfect, tags_of_voc)["fine"].item() == pytest.approx(0.639245, abs=1e-5)
    scaled = build(fine_scale="learned").eval()
    with torch.no_grad():
        scaled.fine_scale[1] = -5.0
    assert (scaled(images).logits["fine"] < 0).all()


def test_random_queries_stay() -> None:
    torch.manual_seed(0)
    method, _ = build_method("weaktr-random", numbered(4), TINY, {}, "none")
    assert isinstance(method, WeakTr)
    random_K = method.state_dict()["fusion.random_K"]  # one number a head
    assert random_K.shape == (36,)
    hidden = method.fusion.across[0].weight @ random_K
    wanted = (method.fusion.across[2].weight @ hidden.clamp_min(0)).sigmoid()
    torch.testing.assert_close(method.weigh(ran(method))[0], wanted)
    weights = [method.weigh(tap) for tap in (ran(method), ran(method))]
    assert torch.equal(*weights)
    method = build()
    weights = [method.weigh(tap) for tap in (ran(method), ran(method))]
    assert not torch.equal(*weights)


def test_released_queries_are_interleaved_slices_of_the_projected_output() -> None:
    """Section 3.1: O_l reshaped to (N, 64, H), the head index last; then the maximum over all tokens."""
    method = build(query="slices").eval()
    outputs = []
    for block in method.vit.blocks:
        block.attn.register_forward_hook(lambda *given: outputs.append(given[-1].detach()))
    query_BKd = method.query(ran(method))
    assert query_BKd.shape == (1, 36, 64)
    for layer in range(12):
        for head in range(3):
            wanted = outputs[layer].view(1, -1, 64, 3)[..., head].amax(1)
            assert torch.equal(query_BKd[:, head * 12 + layer], wanted)  # head-major
    assert not torch.allclose(query_BKd, build().query(ran(method)))


def ran(method: WeakTr) -> Tap:
    tap = Tap(frozenset(), wants_heads=True)
    method.vit(torch.randn(1, 3, 64, 64), tap)
    return tap


@pytest.mark.parametrize("reduction", [1, 8, 100])
def test_any_reduction(reduction: int) -> None:
    assert build(reduction=reduction)(torch.randn(1, 3, 64, 64)).scores_BC.shape == (1, 4)
