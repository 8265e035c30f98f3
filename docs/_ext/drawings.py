"""One drawing per method, as SVG inside the page, so that its colours follow the theme.

From left to right: the image, its tokens, the blocks, then one row per thing that is read from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

CLASS, PATCH, OTHER, ACCENT = "#3d7eff", "#8a94a6", "#e0a100", "#e8590c"  # legible on white and on black
ROW, BOX, GAP, FIRST, TALL = 74, 176, 20, 378, 50  # distances in units of the drawing
HEAT = (0.05, 0.1, 0.1, 0.05, 0.1, 0.75, 0.9, 0.15, 0.1, 0.85, 1.0, 0.3, 0.05, 0.2, 0.3, 0.1)  # a map of 4 x 4 patches


@dataclass(frozen=True)
class Row:
    """Steps from left to right, each a title and a formula; ``end`` is "logit", "map", or a text.

    Steps that exist in training only are dashed.
    """

    end: str
    steps: Sequence[tuple[str, str]]
    training: bool = False


@dataclass(frozen=True)
class Method:
    """The tokens that go in, the lines in the box of the blocks, and the rows."""

    tokens: Sequence[str]
    blocks: Sequence[str]
    rows: Sequence[Row]


BOTH, ALONE, ONE = ("class", "patch"), ("patch",), ("one", "patch")
WITH_REGISTER = ("class", "patch", "register")
SUM = ("read through attention", "r_c = sum of A_c(m) x_m")
ADDED = ("what a patch adds", "A_c(m) max(w_c · x_m, 0)")
MEAN_TOKEN = ("mean of a class token", "over its width")
DRAWINGS = {
    "attended": Method(
        WITH_REGISTER,
        ("blocks of the ViT", "A_c(m): attention of", "the last three"),
        (
            Row("logit", (SUM, ("one vector per class", "w_c · r_c + b_c"))),
            Row("map", (ADDED,)),
            Row("masking", (("at random, in training", "r_c = 0 for absent classes"),), training=True),
        ),
    ),
    "attended-dynamic": Method(
        ONE,
        ("first blocks, then", "a token per likely class", "enters, and only reads"),
        (
            Row("which tokens", (("linear head, detached", "class token, mean patch"), ("likely classes", "20"))),
            Row("logit", (SUM, ("one vector per class", "w_c · r_c + b_c"))),
            Row("map", (ADDED,)),
        ),
    ),
    "tokenmasking": Method(
        WITH_REGISTER,
        ("blocks whose heads", "have gates: g_i head_i"),
        (
            Row("logit", (("all output tokens", "z_1 ... z_C together"), ("one linear layer", "W z + b"))),
            Row("map", (("attention of a token", "mean over open heads"),)),
            Row("masking", (("at random, in training", "z_c = 0 for absent classes"),), training=True),
        ),
    ),
    "mctformer-v1": Method(
        BOTH,
        ("blocks of the ViT", "A: their attention"),
        (Row("logit", (MEAN_TOKEN,)), Row("map", (("attention of a token", "A, last three layers"),))),
    ),
    "mctformer-v2": Method(
        BOTH,
        ("blocks of the ViT", "A: their attention"),
        (
            Row("logit", (MEAN_TOKEN,)),
            Row("logit", (("convolution of patches", "F, 3 x 3"), ("mean over patches", "of F"))),
            Row("map", (("product", "A relu(F)"),)),
        ),
    ),
    "mctformer-plus": Method(
        BOTH,
        ("blocks of the ViT;", "class tokens pushed", "apart in every layer"),
        (
            Row("logit", (MEAN_TOKEN,)),
            Row("logit", (("convolution of patches", "F, 3 x 3"), ("rank pooling", "largest values count most"))),
            Row("map", (("root of the product", "sqrt(A relu(F)), all layers"),)),
        ),
    ),
    "weaktr": Method(
        BOTH,
        ("blocks of the ViT", "A_i: every head of", "every layer"),
        (
            Row("logit", (MEAN_TOKEN,)),
            Row("logit", (("convolution of patches", "coarse, 3 x 3"), ("mean over patches", "of coarse"))),
            Row("map", (("small network weights heads", "A = mean of W_i A_i"), ("product", "relu(coarse) A"))),
            Row("logit", (("spread between patches", "fine = A (relu(coarse) A)"), ("mean over patches", "of fine"))),
        ),
    ),
    "toco": Method(
        ONE,
        ("blocks of the ViT", "layer 10 and the last", ""),
        (
            Row("logit", (("largest over patches", "max x_m"), ("a vector per class", "w_c · max + b_c"))),
            Row("map", (("every patch", "max(w_c · x_m, 0)"),)),
            Row("contrast", (("maps of layer 10", "label patches"), ("same: closer", "others: apart")), training=True),
        ),
    ),
    "linear": Method(
        ALONE,
        ("blocks of the ViT,", "frozen"),
        (
            Row("logit", (("mean patch", "mean of x_m"), ("one vector per class", "w_c · mean"))),
            Row("map", (("every patch", "max(w_c · x_m, 0)"),)),
        ),
    ),
    "gradcam": Method(
        ONE,
        ("blocks of the ViT",),
        (
            Row("logit", (("class token", "its output"), ("linear layer", "logit_c"))),
            Row("map", (("mean gradient", "a_c = mean d logit_c / d x_m"), ("every patch", "max(a_c · x_m, 0)"))),
        ),
    ),
    "tscam": Method(
        ONE,
        ("blocks of the ViT", "A: attention of the", "class token"),
        (
            Row("logit", (("convolution of patches", "S, 3 x 3"), ("mean over patches", "of S"))),
            Row("map", (("product", "A max(S_c, 0)"),)),
        ),
    ),
    "rollout": Method(
        BOTH,
        ("blocks of the ViT", "A_l: attention of", "layer l"),
        (
            Row("logit", (MEAN_TOKEN,)),
            Row("map", (("product over layers", "of (A_l + I) / 2"), ("row of a class token", "to the patches"))),
        ),
    ),
}  # fmt: skip
TOKENS = {
    "class": (CLASS, 3, "class tokens"),
    "one": (CLASS, 1, "class token"),
    "patch": (PATCH, 4, "patches"),
    "register": (OTHER, 1, "register"),
}


def drawing(name: str) -> str:
    """Return a drawing as raw HTML in Markdown."""
    return f'```{{raw}} html\n<div class="drawing">{svg(name)}</div>\n```'


def svg(name: str) -> str:
    """Return the SVG of a method."""
    method = DRAWINGS[name]
    height = max(len(method.rows) * ROW, 3 * ROW) + 6
    middle = height / 2
    parts = [
        *image(middle),
        arrow(74, middle, 96, middle),
        *tokens(method.tokens, middle),
        arrow(188, middle, 206, middle),
    ]
    parts += box(206, middle - 48, 152, 96, method.blocks)
    tops = [middle + (index - (len(method.rows) - 1) / 2) * ROW for index in range(len(method.rows))]
    for row, y in zip(method.rows, tops, strict=True):
        parts += draw_row(row, y, middle)
    title = f"<title>How {escape(name)} works</title>"
    return (
        f'<svg viewBox="0 0 870 {height:g}" role="img" xmlns="http://www.w3.org/2000/svg" font-size="13">'
        f"{title}{''.join(parts)}</svg>"
    )


def draw_row(row: Row, y: float, middle: float) -> list[str]:
    """Draw the steps of a row and what comes out of them."""
    lefts = [FIRST + index * (BOX + GAP) for index in range(len(row.steps))]
    parts = [curve(358, middle, FIRST, y, row.training)]
    for left, step in zip(lefts, row.steps, strict=True):
        parts += box(left, y - TALL / 2, BOX, TALL, step, row.training)
    parts += [arrow(left + BOX, y, after, y) for left, after in pairwise(lefts)]
    right = lefts[-1] + BOX
    parts.append(arrow(right, y, right + GAP, y))
    return [
        *parts,
        *(heat(right + GAP + 4, y) if row.end == "map" else [text(right + GAP + 6, y + 4, row.end, "start")]),
    ]


def image(middle: float) -> list[str]:
    """Draw an image in patches."""
    squares = [
        square(8 + 16 * (i % 4), middle - 32 + 16 * (i // 4), 15, PATCH, 0.25 + 0.5 * HEAT[i]) for i in range(16)
    ]
    return [*squares, text(39, middle + 50, "image", "middle")]


def heat(x: float, y: float) -> list[str]:
    """Draw a class map."""
    cells = [square(x + 12 * (i % 4), y - 24 + 12 * (i // 4), 11, ACCENT, HEAT[i]) for i in range(16)]
    return [*cells, text(x + 56, y + 4, "map", "start")]


def tokens(kinds: Sequence[str], middle: float) -> list[str]:
    """Draw the tokens below each other, each kind with its name."""
    count = sum(TOKENS[kind][1] for kind in kinds)
    y = middle - (13 * count + 18 * len(kinds)) / 2
    parts = []
    for kind in kinds:
        colour, number, name = TOKENS[kind]
        parts.append(text(142, y + 11, name, "middle", 11))
        parts += [square(136, y + 16 + 13 * index, 12, colour, 0.9) for index in range(number)]
        y += 13 * number + 18
    return parts


def box(x: float, y: float, width: float, height: float, lines: Sequence[str], dashed: bool = False) -> list[str]:
    """Draw a box with centred lines."""
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    shown = [line for line in lines if line]
    frame = (
        f'<rect x="{x:g}" y="{y:g}" width="{width}" height="{height}" rx="6" fill="var(--color-background-secondary)" '
        f'stroke="currentColor" stroke-opacity="0.45"{dash}/>'
    )
    first = y + height / 2 - 8 * (len(shown) - 1) + 4
    return [frame, *(text(x + width / 2, first + 17 * index, line, "middle", 12) for index, line in enumerate(shown))]


def square(x: float, y: float, side: float, colour: str, opacity: float) -> str:
    """Draw a filled square."""
    return f'<rect x="{x:g}" y="{y:g}" width="{side}" height="{side}" fill="{colour}" fill-opacity="{opacity:g}"/>'


def text(x: float, y: float, words: str, anchor: str, size: int = 13) -> str:
    """Write a line."""
    place = f'x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
    return f'<text {place} font-size="{size}" fill="currentColor">{escape(words)}</text>'


def arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """Draw a straight arrow to the right."""
    return stroke(f"M{x:g} {y:g}L{to_x:g} {to_y:g}", to_x, to_y)


def curve(x: float, y: float, to_x: float, to_y: float, dashed: bool) -> str:
    """Draw a bent arrow to the right."""
    bend = (x + to_x) / 2
    return stroke(f"M{x:g} {y:g}C{bend:g} {y:g} {bend:g} {to_y:g} {to_x:g} {to_y:g}", to_x, to_y, dashed)


def stroke(path: str, x: float, y: float, dashed: bool = False) -> str:
    """Draw a path that ends in an arrow head at a point."""
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    head = f"M{x - 6:g} {y - 4:g}L{x:g} {y:g}L{x - 6:g} {y + 4:g}"
    line = 'fill="none" stroke="currentColor" stroke-opacity="0.7"'
    return f'<path d="{path}" {line}{dash}/><path d="{head}" {line}/>'
