"""Baselines against their definitions."""

from __future__ import annotations

import torch

from numbered import START, numbered
from tag2mask.methods import Ask, Method, build_method
from tag2mask.methods.baselines import TSCAM, LinearCAM
from tag2mask.vit.settings import BackboneSettings

TINY = BackboneSettings(name="vit_tiny_patch16_224", image_size=64, drop_path=0.0, depth=3)
IMAGES = torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))


def build(name: str) -> Method:
    torch.manual_seed(0)
    return build_method(name, numbered(4), TINY, {}, "none")[0].eval()


def test_maps_hold_no_graph() -> None:
    for name in ("gradcam", "tscam", "rollout", "linear"):
        with torch.no_grad():
            found = build(name)(IMAGES, ask=Ask(maps=True)).maps_BChw
        assert found is not None
        assert not found.requires_grad


def test_tscam_pools_its_patches() -> None:
    method = build("tscam")
    assert isinstance(method, TSCAM)
    with torch.no_grad():
        semantic = method.patch_head(method.vit(IMAGES))
        torch.testing.assert_close(method(IMAGES).scores_BC, semantic.mean((2, 3)))


def test_linear_trains_its_head_alone() -> None:
    method = build("linear").train()
    assert isinstance(method, LinearCAM)
    tags = torch.eye(4)[:2]
    sum(method.loss(method(IMAGES, tags), tags, START).values()).backward()
    assert {name for name, parameter in method.named_parameters() if parameter.grad is not None} == {
        "head.weight",
        "head.bias",
    }
