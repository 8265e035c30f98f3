"""The published layouts: counts of the papers, and what does not fit them."""

from __future__ import annotations

import math

import pytest
import torch

from tag2mask.methods.mctformer.released import PLUS, V1, V2
from tag2mask.methods.released import Layout, Size, find_tensors, fit_state, without_prefix
from tag2mask.methods.weaktr import released as weaktr

DEIT_S = (384, 12, 16, 14)  # width, depth, patch, patches a side
SMALL = Size(5, 128, 3, 16, 3)


def numbers(layout: Layout, size: Size) -> int:
    """How many numbers all that is named and found by shape holds."""
    shapes = [*find_tensors(size, layout).values()]
    shapes += [shape for layer in layout.layers(size).values() for shape in layer.values()]
    return sum(math.prod(shape) for shape in shapes)


@pytest.mark.parametrize(
    ("layout", "classes", "beside", "millions"),
    [
        (V1, 20, 2 * 384 + 20 * 385, 21.688),  # the final norm, and a linear head
        (V2, 20, 2 * 384, 21.749),  # the final norm
        (V2, 80, 2 * 384, 22.003),
    ],
)
def test_the_layouts_count_what_the_papers_count(layout: Layout, classes: int, beside: int, millions: float) -> None:
    count = numbers(layout, Size(classes, *DEIT_S)) + beside
    assert round(count / 1e6, 3) == millions


def test_weaktr_adds_1825_numbers_in_six_tensors() -> None:
    size = Size(20, *DEIT_S)
    assert numbers(weaktr.LAYOUT, size) - numbers(V2, size) == 1825
    fusion = [shape for name, layer in weaktr.layers(size).items() if "fusion" in name for shape in layer.values()]
    assert fusion == [(8, 64), (8,), (1, 8), (1,), (9, 72), (72, 9)]


def state_of(layout: Layout, size: Size = SMALL) -> dict[str, torch.Tensor]:
    """Zeros of the published shapes, the layers without published names under names of the test's own."""
    shapes = dict(find_tensors(size, layout))
    for number, layer in enumerate(layout.layers(size).values()):
        shapes |= {f"own.{number}.{last}": shape for last, shape in layer.items()}
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("layout", [V1, V2, PLUS, weaktr.LAYOUT])
def test_the_size_is_measured(layout: Layout) -> None:
    assert fit_state(state_of(layout), layout).size == SMALL
    assert SMALL.heads == 2


def test_what_nothing_reads_may_be_there() -> None:
    spare = {"norm.weight": torch.ones(128), "norm.bias": torch.ones(128), "head.weight": torch.ones(5, 128)}
    fitted = fit_state(state_of(V2) | spare, V2)
    assert fitted.unread == ("head.weight", "norm.bias", "norm.weight")
    assert not fitted.tensors.keys() & spare.keys()


WRONG = {
    "missing": (
        {"blocks.1.mlp.fc1.bias": None},
        r"1 of \d+ tensors .* blocks\.1\.mlp\.fc1\.bias .*\(missing in the file, \(512,\)",
    ),
    "another shape": (
        {"blocks.0.attn.qkv.weight": torch.zeros(3, 4), "norm1": torch.zeros(2)},
        r"2 of \d+ tensors .* blocks\.0\.attn\.qkv\.weight \(\(3, 4\) in the file, \(384, 128\) in the layout\)",
    ),
    "surplus": ({"extra": torch.zeros(2)}, r"extra \(\(2,\) in the file, missing in the layout\)"),
    "a norm of another width": ({"norm.weight": torch.zeros(7)}, r"norm\.weight \(\(7,\) in the file"),
    "no class tokens": ({"cls_token": None}, r"cls_token is missing in the file, \(1, C, D\) in the published layout"),
    "flat class tokens": ({"cls_token": torch.zeros(5)}, r"cls_token is \(5,\) in the file"),
    "no positions": ({"pos_embed": None}, r"pos_embed is missing in the file"),
    "no square": ({"pos_embed": torch.zeros(1, 12, 128)}, "embeddings cover 7 patches, which is not a square"),
    "fewer positions than classes": ({"pos_embed": torch.zeros(1, 3, 128)}, "embeddings cover 0 patches"),
    "odd width": ({"cls_token": torch.zeros(1, 5, 100)}, "the token width 100 is not a multiple"),
    "gap in the blocks": (
        {f"blocks.1.{name.removeprefix('blocks.1.')}": None for name in state_of(V2) if name.startswith("blocks.1.")},
        r"blocks\.1\.norm1\.weight \(missing in the file",
    ),
    "no convolution": ({"own.0.weight": None}, r"patch_head\.conv\.weight \(found by its shape\) \(missing"),
    "two convolutions": (
        {"other.weight": torch.zeros(5, 128, 3, 3), "other.bias": torch.zeros(5)},
        r"patch_head\.conv\.weight \(found by its shape\) \(missing in the file",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_first_that_does_not_fit_is_named(case: str) -> None:
    changes, message = WRONG[case]
    state = {name: tensor for name, tensor in (state_of(V2) | changes).items() if tensor is not None}
    with pytest.raises(ValueError, match=message):
        fit_state(state, V2)


def test_no_layout_takes_the_others() -> None:
    layouts = [V1, V2, PLUS, weaktr.LAYOUT]
    for layout in layouts:
        for other in layouts:
            if other is not layout:
                with pytest.raises(ValueError, match="in the file"):
                    fit_state(state_of(other), layout)


def test_a_prefix_goes_only_where_all_have_it() -> None:
    tensor = torch.zeros(1)
    assert without_prefix({"module.a": tensor, "module.module.b": tensor}).keys() == {"a", "module.b"}
    assert without_prefix({"module.a": tensor, "b": tensor}).keys() == {"module.a", "b"}
