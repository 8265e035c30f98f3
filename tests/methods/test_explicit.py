"""Every method's class maps against its equations on attention that is written out and kept whole.

Shapes: B batch, C classes, H heads, N tokens, M patches, d head width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from tag2mask.methods import METHODS, Ask, Method, build_method
from tag2mask.vit import attention
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.vit import Features

CLASSES, SIZE, PATCHES = 4, (64, 48), 12


@dataclass
class Seen:
    """One forward pass: attention ``(B, H, N, N)`` and head outputs ``(B, H, N, d)`` of every layer, and features."""

    attention: list[Tensor]
    out: list[Tensor]
    features: Features
    first: int

    def rows(self, layers: int) -> Tensor:
        """Class-to-patch attention, the mean over heads, summed over the last layers: ``(B, C, M)``."""
        columns = slice(self.first, self.first + PATCHES)
        return sum(a.mean(1)[:, : self.features.class_BCD.shape[1], columns] for a in self.attention[-layers:])


def look(method: Method, images: Tensor) -> Seen:
    """A pass of the transformer with softmax written out."""
    kept: list[Tensor] = []
    outputs: list[Tensor] = []

    def attend(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None, explicit: bool) -> Tensor:
        assert allowed is None
        scores = torch.exp(q.double() @ k.double().transpose(-2, -1) / q.shape[-1] ** 0.5)
        kept.append((scores / scores.sum(-1, keepdim=True)).float())
        outputs.append(kept[-1] @ v)
        return outputs[-1]

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(attention, "attend", attend)
        features = method.vit(images)
    return Seen(kept, outputs, features, len(method.vit.class_CD) + len(method.vit.backbone_registers))


def activations(method: Method, seen: Seen) -> Tensor:
    return method.patch_head(seen.features).flatten(2).relu()


def contribution(method: Method, seen: Seen) -> Tensor:
    patch_BMD = method.vit.norm(seen.features.patch_BMD)
    return seen.rows(3) * (patch_BMD @ method.head.vector_D.T).transpose(1, 2).relu()


def seed(method: Method, seen: Seen) -> Tensor:
    """relu(coarse) * C A^, A^ = (1 / K) sum_i W'_i A_i with heads in head-major order."""
    peaks_BKd = torch.stack([out.amax(2) for out in seen.out], 2).flatten(1, 2)
    all_BKNN = torch.stack(seen.attention, 2).flatten(1, 2)
    weighed_BNN = torch.einsum("bk,bkmn->bmn", method.fusion(peaks_BKd), all_BKNN) / all_BKNN.shape[1]
    return activations(method, seen) * weighed_BNN[:, :CLASSES, seen.first :]


def rollout(method: Method, seen: Seen) -> Tensor:
    product_BNN = torch.eye(seen.first + PATCHES)
    for attention_BHNN in seen.attention:
        product_BNN = (attention_BHNN.mean(1) + torch.eye(seen.first + PATCHES)) / 2 @ product_BNN
    return product_BNN[:, :CLASSES, seen.first :]


def gradient_cam(method: Method, images: Tensor) -> Tensor:
    """The gradient of every logit through the whole transformer, not through a leaf of its own."""
    entered: list[Tensor] = []
    block = method.vit.blocks[-1]
    hook = block.register_forward_pre_hook(lambda _, args: entered.append(args[0]))
    logits_BC = method.head(method.vit.norm(method.vit(images).class_BCD[:, 0]))
    hook.remove()
    maps = []
    for c in range(CLASSES):
        [gradient] = torch.autograd.grad(logits_BC[:, c].sum(), entered[0], retain_graph=True)
        alpha_BD = gradient[:, -PATCHES:].mean(1)
        maps.append(torch.einsum("bmd,bd->bm", entered[0][:, -PATCHES:], alpha_BD).relu())
    return torch.stack(maps, 1)


EXPLICIT: dict[str, Callable[[Method, Tensor], Tensor]] = {
    "tokenmasking": lambda m, x: contribution(m, look(m, x)),
    "tokenmasking-paper": lambda m, x: look(m, x).rows(12),
    "tokenmasking-released": lambda m, x: look(m, x).rows(12),
    "mctformer-v1": lambda m, x: look(m, x).rows(3),
    "mctformer-v2": lambda m, x: (seen := look(m, x)).rows(3) * activations(m, seen),
    "mctformer-plus": lambda m, x: ((seen := look(m, x)).rows(12) / 12 * activations(m, seen)).sqrt(),
    "weaktr": lambda m, x: seed(m, look(m, x)),
    "weaktr-random": lambda m, x: seed(m, look(m, x)),
    "gradcam": gradient_cam,
    "tscam": lambda m, x: (seen := look(m, x)).rows(12) / 12 * activations(m, seen),
    "rollout": lambda m, x: rollout(m, look(m, x)),
    "linear": lambda m, x: (m.vit.norm(look(m, x).features.patch_BMD) @ m.head.weight.T).transpose(1, 2).relu(),
}


@pytest.mark.parametrize("name", METHODS)
def test_maps_are_the_equations_on_explicit_attention(name: str) -> None:
    torch.manual_seed(0)
    backbone = BackboneSettings(name="vit_tiny_patch16_224", image_size=64, drop_path=0.0)
    method = build_method(name, CLASSES, backbone, {}, "none")[0].eval()
    for parameter in (method.vit.class_CD, *(p for n, p in method.named_parameters() if "head" in n)):
        torch.nn.init.normal_(parameter.data, std=0.2)  # classes that differ, maps that are not all 0
    images = torch.randn(2, 3, *SIZE)
    maps_BCM = method(images, ask=Ask(maps=True)).maps_BChw.flatten(2)
    wanted_BCM = EXPLICIT[name](method, images)
    assert wanted_BCM.std() > 0
    torch.testing.assert_close(maps_BCM, wanted_BCM, atol=1e-5 * wanted_BCM.max().item(), rtol=1e-3)
