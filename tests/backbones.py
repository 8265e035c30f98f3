"""Small random backbones of every family, and the same forward pass in plain timm with explicit softmax."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.vit import ViT
from tag2mask.vit.weights import build_backbone

# One of each family, cut to a few layers: (timm name, settings that make it small)
FAMILIES: dict[str, tuple[str, dict[str, object]]] = {
    "deit": ("deit_tiny_patch16_224", {"depth": 3}),
    "augreg": ("vit_tiny_patch16_224", {"depth": 3}),
    "patch8": ("vit_small_patch8_224", {"depth": 2, "embed_dim": 96, "num_heads": 3}),
    "patch32": ("vit_small_patch32_224", {"depth": 2, "embed_dim": 96, "num_heads": 3}),
    "deit3": ("deit3_small_patch16_224", {"depth": 3, "embed_dim": 96, "num_heads": 3, "init_values": 0.5}),
    "dinov2": ("vit_small_patch14_dinov2", {"depth": 3, "embed_dim": 96, "num_heads": 3, "init_values": 0.5}),
    "dinov2-registers": ("vit_small_patch14_reg4_dinov2", {"depth": 3, "embed_dim": 96, "num_heads": 3}),
    "qk-norm": ("vit_tiny_patch16_224", {"depth": 3, "qk_norm": True}),
    "siglip": ("vit_base_patch16_siglip_224", {"depth": 2, "embed_dim": 96, "num_heads": 3, "global_pool": "avg"}),
    "eva02": ("eva02_tiny_patch14_224", {"depth": 3}),
    "dinov3": ("vit_small_patch16_dinov3", {"depth": 3, "embed_dim": 96, "num_heads": 3}),
    "rope-mixed": ("vit_small_patch16_rope_mixed_224", {"depth": 3, "embed_dim": 96, "num_heads": 3}),
}
GRIDS = [(4, 4), (3, 5)]


def save_backbone(settings: Mapping[str, Any], path: Path) -> None:
    """Write the weights of a random backbone with these settings, to start from."""
    save_file(build_backbone(BackboneSettings.parse(settings), "none")[0].state_dict(), path)


def small(family: str) -> nn.Module:
    """A random model of a family, built for 4 x 4 patches."""
    name, settings = FAMILIES[family]
    torch.manual_seed(0)
    patch = 32 if "patch32" in name else 8 if "patch8" in name else 14 if "patch14" in name else 16
    model = timm.create_model(name, num_classes=0, img_size=4 * patch, dynamic_img_size=True, **settings)
    for parameter in model.parameters():  # large enough that attention is far from uniform
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.15)
    return model.eval()


def explicit(original: nn.Module, vit: ViT) -> Callable[[Tensor], tuple[Tensor, list[Tensor]]]:
    """Plain timm with ``vit``'s tokens: images to the last block's output and every layer's attention (B, H, N, N)."""
    model = copy.deepcopy(original)
    prefix = len(vit.class_CD) + len(vit.backbone_registers)
    model.cls_token = nn.Parameter(torch.cat([vit.class_CD, vit.backbone_registers])[None])
    model.reg_token = None
    model.num_prefix_tokens = prefix
    model.no_embed_class = True
    if vit.position is not None:
        model.pos_embed = nn.Parameter(vit.position.flatten(1, 2))
    model.norm = nn.Identity()
    seen: list[Tensor] = []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.num_prefix_tokens = prefix
        block.attn.attn_drop.register_forward_hook(lambda _, __, out: seen.append(out))

    def forward(images: Tensor) -> tuple[Tensor, list[Tensor]]:
        seen.clear()
        return model.forward_features(images), list(seen)

    return forward
