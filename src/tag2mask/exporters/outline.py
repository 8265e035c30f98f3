"""The outlines of a class as polygons, without holes and without loss.

Corners lie a quarter of a pixel inside the outermost pixels: a filler that asks for pixel centres paints exactly those
pixels, and so does one that cuts coordinates down to whole numbers and paints the border too (OpenCV). Pixels that
touch by a corner alone are two pieces. From the leftmost edge of a hole a cut without width goes west through the
piece to the next outline, so that one polygon goes round both.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (K, 2), x and y in pixels
Edge = tuple[int, int, int]  # of a pixel: x and y of the corner where it begins, and its direction, an index into STEPS
# East, south, west, north as (x, y). Along an edge the class is on the right, which is the next direction in this list.
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
SOUTH, NORTH = 1, 3
INSET = 0.25  # of corners, in pixels
CUT = 0.375  # where cuts go, below a row's upper edge: between INSET and the pixel centres


def polygons(inside: NDArray[np.bool_]) -> tuple[list[Points], int]:
    """A polygon of four points or more for every piece of a class ``(Y, X)``, and how many holes were cut open."""
    edges = dict.fromkeys(edges_around(inside))
    holes = [ring for ring in rings(edges) if is_hole(ring)]
    cuts = dict(cut_hole(ring, inside) for ring in holes)
    cuts |= {parent: edge for edge, parent in cuts.items()}
    left, found = edges.copy(), []
    while left:
        found.append(np.array(list(walk_outline(next(iter(left)), left, edges, cuts)), np.float64))
    return found, len(holes)


def edges_around(inside: NDArray[np.bool_]) -> Iterator[Edge]:
    """Every pixel edge between the class and what is not of it, with the class on its right."""
    padded = np.pad(inside, 1)
    for direction, (x_right, y_right) in enumerate(STEPS[1:] + STEPS[:1]):
        outside = ~np.roll(padded, (y_right, x_right), (0, 1))  # the neighbour on the left of the edge
        rows, columns = np.nonzero((padded & outside)[1:-1, 1:-1])
        # Going east along a pixel's top begins at its north-west corner, south at its north-east one, and so on.
        x_begin, y_begin = direction in (1, 2), direction in (2, 3)
        yield from ((x + x_begin, y + y_begin, direction) for x, y in zip(columns.tolist(), rows.tolist(), strict=True))


def edge_after(edge: Edge, edges: Container[Edge]) -> Edge:
    """The next edge of the ring: round the same pixel if possible, so that touching corners do not connect."""
    x, y, direction = edge
    x, y = x + STEPS[direction][0], y + STEPS[direction][1]
    turns = ((x, y, (direction + turn) % 4) for turn in (1, 0, 3))
    return next(turned for turned in turns if turned in edges)


def rings(edges: Mapping[Edge, None]) -> Iterator[list[Edge]]:
    """The edges ring by ring: round pieces clockwise on the screen, round holes the other way."""
    left = dict(edges)
    while left:
        ring = [next(iter(left))]
        while ring[-1] in left:
            del left[ring[-1]]
            ring.append(edge_after(ring[-1], edges))
        yield ring[:-1]


def is_hole(ring: list[Edge]) -> bool:
    """Whether a ring goes round what is not of the class: its area, summed over columns, is then negative."""
    return sum(x * STEPS[direction][1] for x, _, direction in ring) < 0


def cut_hole(ring: list[Edge], inside: NDArray[np.bool_]) -> tuple[Edge, Edge]:
    """A hole's leftmost edge, and the first edge west of it, which is another ring's."""
    x, y, _ = edge = min(edge for edge in ring if edge[2] == SOUTH)
    outside = np.flatnonzero(~inside[y, :x])
    return edge, (int(outside[-1]) + 1 if outside.size else 0, y + 1, NORTH)


def walk_outline(
    edge: Edge, left: dict[Edge, None], edges: Container[Edge], cuts: Mapping[Edge, Edge]
) -> Iterator[tuple[float, float]]:
    """The corners from an edge on, over the cuts and back, until it comes again; its edges are taken from ``left``."""
    while edge in left:
        del left[edge]
        if edge in cuts:
            yield cut_end(edge)
            edge = cuts[edge]
            yield cut_end(edge)
        following = edge_after(edge, edges)
        if following[2] != edge[2]:
            yield inset_corner(edge, following)
        edge = following


def cut_end(edge: Edge) -> tuple[float, float]:
    """Where a cut meets an edge that goes north or south."""
    x, y, direction = edge
    return (x + INSET, y - 1 + CUT) if direction == NORTH else (x - INSET, y + CUT)


def inset_corner(edge: Edge, following: Edge) -> tuple[float, float]:
    """The corner between two edges, moved into the class."""
    (x_one, y_one), (x_other, y_other) = (STEPS[(direction + 1) % 4] for direction in (edge[2], following[2]))
    return following[0] + INSET * (x_one + x_other), following[1] + INSET * (y_one + y_other)
