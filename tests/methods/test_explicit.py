"""Every method's class maps against its equations on attention that is written out and kept whole.

Shapes: B batch, C classes, H heads, N tokens, M patches, d head width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from numbered import numbered
from tag2mask.errors import SettingsError
from tag2mask.methods import METHODS, Ask, Method, build_method
from tag2mask.vit import attention as attention_module
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.tap import Tap
from tag2mask.vit.vit import Features

CLASSES, SIZE, PATCHES = 4, (64, 48), 12


@dataclass
class Seen:
    """One forward pass: attention ``(B, H, N, N)`` and head outputs ``(B, H, N, d)`` of every layer, and features."""

    attention: list[Tensor]
    out: list[Tensor]
    features: Features
    first: int

    def layer(self, number: int) -> Tensor:
        """Class-to-patch attention of one layer, the mean over heads: ``(B, C, M)``."""
        columns = slice(self.first, self.first + PATCHES)
        return self.attention[number].mean(1)[:, : self.features.class_BCD.shape[1], columns]

    def rows(self, layers: int) -> Tensor:
        """The same, summed over the last layers."""
        return sum(self.layer(-number) for number in range(1, layers + 1))


def look(method: Method, images: Tensor, cut: int = 0, reading: bool = False) -> Seen:
    """A pass with softmax written out, in the last ``cut`` of 12 layers without the other classes.

    With ``reading`` patches and registers do not see classes there, either.
    """
    kept: list[Tensor] = []
    outputs: list[Tensor] = []

    def attend(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None, explicit: bool) -> Tensor:
        scores = torch.exp(q.double() @ k.double().transpose(-2, -1) / q.shape[-1] ** 0.5)
        if len(kept) >= 12 - cut:
            scores[..., :CLASSES, :CLASSES] *= torch.eye(CLASSES)
            scores[..., CLASSES:, :CLASSES] *= not reading
        kept.append((scores / scores.sum(-1, keepdim=True)).float())
        outputs.append(kept[-1] @ v)
        return outputs[-1]

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(attention_module, "attend", attend)
        features = method.vit(images)
    return Seen(kept, outputs, features, len(method.vit.class_CD) + len(method.vit.backbone_registers))


def activations(method: Method, seen: Seen) -> Tensor:
    return method.patch_head(seen.features).flatten(2).relu()


def contribution(method: Method, seen: Seen, rows_BCM: Tensor | None = None) -> Tensor:
    patch_BMD = method.vit.norm(seen.features.patch_BMD)
    return (seen.rows(3) if rows_BCM is None else rows_BCM) * (patch_BMD @ method.head.vector_D.T).transpose(
        1, 2
    ).relu()


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
    "attended": lambda m, x: contribution(m, look(m, x)),
    "attended-dynamic": lambda m, x: contribution(m, look(m, x, cut=3, reading=True)),
    "tokenmasking": lambda m, x: look(m, x).rows(12),
    "tokenmasking-paper": lambda m, x: look(m, x).rows(12),
    "tokenmasking-released": lambda m, x: look(m, x).rows(12),
    "mctformer-v1": lambda m, x: look(m, x).rows(3),
    "mctformer-v2": lambda m, x: (seen := look(m, x)).rows(3) * activations(m, seen),
    "mctformer-plus": lambda m, x: ((seen := look(m, x)).rows(12) / 12 * activations(m, seen)).sqrt(),
    "weaktr": lambda m, x: seed(m, look(m, x)),
    "weaktr-random": lambda m, x: seed(m, look(m, x)),
    "toco": lambda m, x: (m.vit.norm(look(m, x).features.patch_BMD) @ m.head.vector_CD.T).transpose(1, 2).relu(),
    "gradcam": gradient_cam,
    "tscam": lambda m, x: (seen := look(m, x)).rows(12) / 12 * activations(m, seen),
    "rollout": lambda m, x: rollout(m, look(m, x)),
    "linear": lambda m, x: (m.vit.norm(look(m, x).features.patch_BMD) @ m.head.weight.T).transpose(1, 2).relu(),
}


def geometric(seen: Seen, numbers: Sequence[int]) -> Tensor:
    """L (prod_l A_l)^(1/L)."""
    product_BCM = torch.stack([seen.layer(number) for number in numbers]).double().prod(0)
    return len(numbers) * product_BCM.float() ** (1 / len(numbers))


# What can be chosen when a trained method is read.
READ: list[tuple[str, dict[str, Any], Callable[[Method, Tensor], Tensor]]] = [
    (
        "attended",
        {"map_layers": [9, 11]},
        lambda m, x: contribution(m, seen := look(m, x), seen.layer(8) + seen.layer(10)),
    ),
    (
        "attended",
        {"over_layers": "product"},
        lambda m, x: contribution(m, seen := look(m, x), geometric(seen, [-1, -2, -3])),
    ),
    ("attended", {"cut": 3}, lambda m, x: contribution(m, look(m, x, cut=3))),
    ("mctformer-v1", {"over_layers": "product"}, lambda m, x: geometric(look(m, x), [-1, -2, -3])),
    ("mctformer-v1", {"map_layers": [10]}, lambda m, x: look(m, x).layer(9)),
    ("mctformer-v1", {"cut": 2}, lambda m, x: look(m, x, cut=2).rows(3)),
    (
        "tscam",
        {"over_layers": "product"},
        lambda m, x: geometric(seen := look(m, x), range(12)) / 12 * activations(m, seen),
    ),
]


def untrained(name: str, settings: dict[str, Any]) -> tuple[Method, Tensor]:
    """A method whose classes differ and whose maps are not all 0, and two images."""
    torch.manual_seed(0)
    backbone = BackboneSettings(name="vit_tiny_patch16_224", image_size=64, drop_path=0.0)
    method = build_method(name, numbered(CLASSES), backbone, settings, "none")[0].eval()
    for parameter in (method.vit.class_CD, *(p for n, p in method.named_parameters() if "head" in n)):
        torch.nn.init.normal_(parameter.data, std=0.2)
    for attention in method.vit.attentions:
        attention.qkv.weight.data *= 4  # attention that differs from layer to layer
    return method, torch.randn(2, 3, *SIZE)


@pytest.mark.parametrize(("name", "settings", "equation"), [*((name, {}, EXPLICIT[name]) for name in METHODS), *READ])
def test_maps_are_the_equations_on_explicit_attention(
    name: str, settings: dict[str, Any], equation: Callable[[Method, Tensor], Tensor]
) -> None:
    method, images = untrained(name, settings)
    maps_BCM = method(images, ask=Ask(maps=True)).maps_BChw.flatten(2)
    wanted_BCM = equation(method, images)
    assert wanted_BCM.std() > 0
    torch.testing.assert_close(maps_BCM, wanted_BCM, atol=1e-5 * wanted_BCM.max().item(), rtol=1e-3)
    if settings:  # the choice is not lost in rounding
        assert (maps_BCM - EXPLICIT[name](method, images)).abs().max() > 1e-3 * wanted_BCM.max()


def test_the_cut_is_for_evaluation_and_cannot_exceed_the_blocks() -> None:
    method, images = untrained("mctformer-v1", {"cut": 12})
    plain, _ = untrained("mctformer-v1", {})
    for one in (method, plain):
        one.train()
    torch.testing.assert_close(method.vit(images).class_BCD, plain.vit(images).class_BCD)
    with pytest.raises(SettingsError, match=r"^cut=13, but the backbone has only 12 blocks$"):
        untrained("attended", {"cut": 13})


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([3, 13], "there is no layer 13"),
        ([], "the list of layers is empty"),
        ([0], "wanted the number of last layers, or a list of layers counted from 1, got"),
    ],
)
def test_layers_that_are_not_there(layers: list[int], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        untrained("attended", {"map_layers": layers})


def test_the_product_over_layers_by_hand() -> None:
    """Layers without an open head are left out; an attention of exactly 0 makes the product 0."""
    tap = Tap(frozenset(range(3)))
    tap.layer_maps = {
        0: torch.tensor([[[0.2, 0.1, 0.0]]]),
        1: torch.zeros(1, 1, 3),
        2: torch.tensor([[[0.8, 0.4, 0.5]]]),
    }
    torch.testing.assert_close(tap.class_maps(frozenset({0, 1, 2}), "product"), torch.tensor([[[1.2, 0.6, 0.0]]]))
    torch.testing.assert_close(tap.class_maps(frozenset({0, 1, 2})), torch.tensor([[[1.0, 0.5, 0.5]]]))
