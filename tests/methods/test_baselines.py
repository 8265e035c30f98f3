"""Baselines against their definitions."""

from __future__ import annotations

import torch

from tag2mask.methods import Ask, Method, build_method
from tag2mask.methods.baselines import TSCAM, GradCAM, LinearCAM, Rollout
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.tap import Tap, attention_rows

TINY = BackboneSettings(name="vit_tiny_patch16_224", image_size=64, drop_path=0.0, depth=3)
IMAGES = torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))


def build(name: str) -> Method:
    torch.manual_seed(0)
    return build_method(name, 4, TINY, {}, "none")[0].eval()


def maps(method: Method) -> torch.Tensor:
    with torch.no_grad():
        found = method(IMAGES, ask=Ask(maps=True)).maps_BChw
    assert found is not None
    assert not found.requires_grad
    return found


def test_rollout_is_the_product_of_half_identities() -> None:
    method = build("rollout")
    assert isinstance(method, Rollout)
    tap = Tap(frozenset(), wants_heads=True)
    with torch.no_grad():
        method.vit(IMAGES, tap)
    whole = None
    for q, k, passing in tap.projections:
        mixed = attention_rows(q, k, slice(None), passing).mean(1)
        mixed = (mixed + torch.eye(mixed.shape[-1])) / 2
        whole = mixed if whole is None else mixed @ whole
    torch.testing.assert_close(maps(method), whole[:, :4, 4:].reshape(2, 4, 3, 4))


def test_gradcam_is_gradient_mean_times_activation() -> None:
    method = build("gradcam")
    assert isinstance(method, GradCAM)
    seen = []
    handle = method.vit.blocks[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    logits = method(IMAGES).scores_BC
    handle.remove()
    for c in range(4):
        [gradient] = torch.autograd.grad(logits[:, c].sum(), seen[0], retain_graph=True)
        alpha = gradient[:, 1:].mean(1, keepdim=True)
        wanted = (alpha * seen[0][:, 1:]).sum(-1).relu().reshape(2, 3, 4)
        torch.testing.assert_close(maps(method)[:, c], wanted)


def test_tscam_shares_one_attention() -> None:
    method = build("tscam")
    assert isinstance(method, TSCAM)
    layers = frozenset(range(3))
    tap = Tap(layers)
    with torch.no_grad():
        features = method.vit(IMAGES, tap)
        semantic = method.patch_head(features)
    attention = tap.class_maps(layers).reshape(2, 1, 3, 4) / 3
    torch.testing.assert_close(maps(method), attention * semantic.relu())
    torch.testing.assert_close(method(IMAGES).scores_BC, semantic.mean((2, 3)))


def test_linear_trains_its_head_alone() -> None:
    method = build("linear").train()
    assert isinstance(method, LinearCAM)
    tags = torch.eye(4)[:2]
    sum(method.loss(method(IMAGES, tags), tags).values()).backward()
    assert {name for name, parameter in method.named_parameters() if parameter.grad is not None} == {
        "head.weight",
        "head.bias",
    }
