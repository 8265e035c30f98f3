"""Layouts of the checkpoints that methods' authors released, and the names of their tensors here.

Each method's layout is in its ``released.py``. The names and shapes come from these sources:

- DeiT's tensor names, as published by timm: the authors load DeiT's weights by these names, so their models use them.
- ``cls_token``, ``pos_embed``, ``pos_embed_cls``, ``pos_embed_pat``: described with the released code.
- ``norm`` and a linear ``head``, which no logit and no map needs: derived from the papers' parameter counts.
- Layers that DeiT does not have: their names are not published, so they are found by shape.

Shapes: C classes, D width, M patches, P patch side, L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Shape = tuple[int, ...]
State = Mapping[str, Tensor]
Layer = Mapping[str, Shape]  # "weight" and "bias"
HEAD_WIDTH = 64  # in every DeiT
PATCHES, CLASS = "patch_embed.proj", "cls_token"


@dataclass(frozen=True)
class Size:
    """The sizes that determine all shapes; there are ``side`` x ``side`` patches."""

    classes: int
    width: int
    depth: int
    patch: int
    side: int

    @property
    def heads(self) -> int:
        """Attention heads per layer."""
        return self.width // HEAD_WIDTH


@dataclass(frozen=True)
class Positions:
    """How a file stores position embeddings.

    ``written`` holds their shapes as text, by tensor name; ``shapes`` computes them from C, M and D. ``parts`` splits
    the file's tensors into the embeddings of classes ``(C, D)`` and patches ``(M, D)``, given C.
    """

    written: Mapping[str, str]
    shapes: Callable[[int, int, int], Mapping[str, Shape]]
    parts: Callable[[State, int], tuple[Tensor, Tensor]]


TOGETHER = Positions(
    {"pos_embed": "(1, C + M, D)"},
    lambda C, M, D: {"pos_embed": (1, C + M, D)},
    lambda state, C: (state["pos_embed"][0, :C], state["pos_embed"][0, C:]),
)
APART = Positions(
    {"pos_embed_cls": "(1, C, D)", "pos_embed_pat": "(1, M, D)"},
    lambda C, M, D: {"pos_embed_cls": (1, C, D), "pos_embed_pat": (1, M, D)},
    lambda state, C: (state["pos_embed_cls"][0], state["pos_embed_pat"][0]),
)


@dataclass(frozen=True)
class Layout:
    """Layout of a released checkpoint: its ``positions``, and the ``layers`` found by shape, under our names."""

    positions: Positions
    layers: Callable[[Size], Mapping[str, Layer]]


@dataclass(frozen=True)
class Fitted:
    """A released checkpoint under our names, in float32, and the names of its tensors that are not used."""

    size: Size
    tensors: dict[str, Tensor]
    unread: tuple[str, ...]


def convolution(size: Size) -> Mapping[str, Layer]:
    """The 3 x 3 convolution from patch tokens to classes, which replaces DeiT's linear head."""
    return {"patch_head.conv": {"weight": (size.classes, size.width, 3, 3), "bias": (size.classes,)}}


def transformer(size: Size) -> dict[str, Shape]:
    """DeiT's patch embedding and blocks, whose names are the same here."""
    D = size.width
    of_block: dict[str, Shape] = {
        "norm1.weight": (D,),
        "norm1.bias": (D,),
        "attn.qkv.weight": (3 * D, D),
        "attn.qkv.bias": (3 * D,),
        "attn.proj.weight": (D, D),
        "attn.proj.bias": (D,),
        "norm2.weight": (D,),
        "norm2.bias": (D,),
        "mlp.fc1.weight": (4 * D, D),
        "mlp.fc1.bias": (4 * D,),
        "mlp.fc2.weight": (D, 4 * D),
        "mlp.fc2.bias": (D,),
    }
    embedding = {f"{PATCHES}.weight": (D, 3, size.patch, size.patch), f"{PATCHES}.bias": (D,)}
    return embedding | {f"blocks.{n}.{name}": shape for n in range(size.depth) for name, shape in of_block.items()}


def unread(size: Size) -> dict[str, Shape]:
    """DeiT's final norm and linear head: optional, since the methods read the mean of tokens before the norm."""
    D, C = size.width, size.classes
    return {"norm.weight": (D,), "norm.bias": (D,), "head.weight": (C, D), "head.bias": (C,)}


def find_tensors(size: Size, layout: Layout) -> dict[str, Shape]:
    """Shapes of all tensors that are found by name, by their released names."""
    C, D = size.classes, size.width
    return {**transformer(size), CLASS: (1, C, D), **layout.positions.shapes(C, size.side**2, D)}


def without_prefix(state: State) -> dict[str, Tensor]:
    """Remove the prefix that torch's ``DataParallel`` adds to all names."""
    wrapped = all(name.startswith("module.") for name in state)
    return {name.removeprefix("module.") if wrapped else name: tensor for name, tensor in state.items()}


def fit_state(state: State, layout: Layout) -> Fitted:
    """Match the tensors to a layout and rename them to our names.

    Raises:
        ValueError: one is missing, unexpected or of another shape; the message gives the first, both its shapes and
            the number of such tensors.
    """
    size = measure_state(state, layout)
    wanted = find_tensors(size, layout)
    others = {name: tensor for name, tensor in state.items() if name not in wanted}
    found = find(others, layout.layers(size))
    for layer, shapes in layout.layers(size).items():
        for last, shape in shapes.items():
            wanted[found.get(f"{layer}.{last}", f"{layer}.{last} (found by its shape)")] = shape
    beside = unread(size)
    spare = {name for name in others if name not in wanted and tuple(others[name].shape) == beside.get(name)}
    require_same({name: tensor for name, tensor in state.items() if name not in spare}, wanted)
    return Fitted(size, ours(state, size, layout, found), tuple(sorted(spare)))


def measure_state(state: State, layout: Layout) -> Size:
    """Infer classes, width, depth, patch and grid from the shapes of tensors.

    Raises:
        ValueError: a tensor is missing or has an impossible shape.
    """
    for name, shape in {CLASS: "(1, C, D)", f"{PATCHES}.weight": "(D, 3, P, P)", **layout.positions.written}.items():
        there = tuple(state[name].shape) if name in state else "missing"
        if name not in state or len(there) != len(shape.split(",")) or not state[name].numel():
            raise ValueError(f"{name} is {there} in the file, {shape} in the published layout")
    _, classes, width = state[CLASS].shape
    numbers = [name.split(".")[1] for name in state if name.startswith("blocks.")]
    blocks = [int(number) for number in numbers if number.isdecimal()]
    depth = min(max(blocks, default=-1) + 1, len(state))  # a bogus block number must not ask for a huge model
    patches = len(layout.positions.parts(state, classes)[1])
    side = round(patches**0.5)
    if side**2 != patches or not side:
        raise ValueError(f"the position embeddings cover {patches} patches, which is not a square number")
    if width % HEAD_WIDTH:
        raise ValueError(f"the token width {width} is not a multiple of DeiT's head width {HEAD_WIDTH}")
    return Size(classes, width, depth, state[f"{PATCHES}.weight"].shape[-1], side)


def find(others: State, layers: Mapping[str, Layer]) -> dict[str, str]:
    """Map our tensor names to released names, for each layer whose shapes exactly one group of ``others`` has."""
    groups: dict[str, dict[str, Shape]] = {}
    for name, tensor in others.items():
        group, _, last = name.rpartition(".")
        groups.setdefault(group, {})[last] = tuple(tensor.shape)
    found: dict[str, str] = {}
    for layer, shapes in layers.items():
        alike = [group for group, own in groups.items() if own == shapes]
        if len(alike) == 1:
            found |= {f"{layer}.{last}": f"{alike[0]}.{last}" for last in shapes}
    return found


def require_same(state: State, wanted: Mapping[str, Shape]) -> None:
    """Check that the tensors are those of the layout.

    Raises:
        ValueError: one is missing, unexpected or of another shape.
    """
    there = {name: tuple(tensor.shape) for name, tensor in state.items()}
    other = [name for name in {**wanted, **there} if there.get(name) != wanted.get(name)]
    if other:
        raise ValueError(
            f"{len(other)} of {len(wanted)} tensors differ from the published layout; the first is {other[0]} "
            f"({there.get(other[0], 'missing')} in the file, {wanted.get(other[0], 'missing')} in the layout)"
        )


def ours(state: State, size: Size, layout: Layout, found: Mapping[str, str]) -> dict[str, Tensor]:
    """All tensors of our method. Positions are added to the class tokens; there are no registers."""
    class_CD, patch_MD = layout.positions.parts(state, size.classes)
    tensors = {f"vit.{name}": state[name] for name in transformer(size)}
    tensors |= {name: state[released] for name, released in found.items()}
    tensors |= {
        "vit.class_CD": state[CLASS][0].float() + class_CD.float(),
        "vit.position": patch_MD.reshape(1, size.side, size.side, size.width),
        "vit.backbone_registers": torch.zeros(0, size.width),
        "vit.registers": torch.zeros(0, size.width),
    }
    return {name: tensor.float() for name, tensor in tensors.items()}
