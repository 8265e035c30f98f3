"""The outlines of a class as polygons without holes, from which the pixels can be recovered exactly.

Corners are a quarter of a pixel inside the outermost pixels. A rasteriser that tests pixel centres paints exactly those
pixels, and so does one that truncates coordinates and paints the border too (OpenCV). Pixels that touch only at a
corner are separate pieces. From the leftmost edge of a hole, a zero-width cut goes west through the piece to the next
outline, so that one polygon goes round both.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (K, 2), x and y in pixels
Edge = tuple[int, int, int]  # a pixel's edge: x and y of the corner where it begins, and its direction in STEPS
# East, south, west, north as (x, y). Along an edge the class is on the right, which is the next direction in this list.
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
SOUTH, NORTH = 1, 3
INSET = 0.25  # inset of corners, in pixels
CUT = 0.375  # position of cuts below a row's upper edge: between INSET and the pixel centres


def polygons(inside: NDArray[np.bool_]) -> tuple[list[Points], int]:
    """Return a polygon of at least four points for every piece of a class ``(Y, X)``, and the number of holes cut."""
    edges = dict.fromkeys(edges_around(inside))
    holes = [ring for ring in rings(edges) if is_hole(ring)]
    cuts = dict(cut_hole(ring, inside) for ring in holes)
    cuts |= {parent: edge for edge, parent in cuts.items()}
    left, found = edges.copy(), []
    while left:
        found.append(np.array(list(walk_outline(next(iter(left)), left, edges, cuts)), np.float64))
    return found, len(holes)


def edges_around(inside: NDArray[np.bool_]) -> Iterator[Edge]:
    """Yield every pixel edge between the class and other pixels, with the class on its right."""
    padded = np.pad(inside, 1)
    for direction, (x_right, y_right) in enumerate(STEPS[1:] + STEPS[:1]):
        outside = ~np.roll(padded, (y_right, x_right), (0, 1))  # the neighbour to the left of the edge
        rows, columns = np.nonzero((padded & outside)[1:-1, 1:-1])
        # An edge east along a pixel's top begins at its north-west corner, one south at its north-east, and so on.
        x_begin, y_begin = direction in (1, 2), direction in (2, 3)
        yield from ((x + x_begin, y + y_begin, direction) for x, y in zip(columns.tolist(), rows.tolist(), strict=True))


def edge_after(edge: Edge, edges: Container[Edge]) -> Edge:
    """Return the next edge of the ring: round the same pixel if possible, so that touching corners do not connect."""
    x, y, direction = edge
    x, y = x + STEPS[direction][0], y + STEPS[direction][1]
    turns = ((x, y, (direction + turn) % 4) for turn in (1, 0, 3))
    return next(turned for turned in turns if turned in edges)


def rings(edges: Mapping[Edge, None]) -> Iterator[list[Edge]]:
    """Yield the edges ring by ring: clockwise on the screen round pieces, counterclockwise round holes."""
    left = dict(edges)
    while left:
        ring = [next(iter(left))]
        while ring[-1] in left:
            del left[ring[-1]]
            ring.append(edge_after(ring[-1], edges))
        yield ring[:-1]


def is_hole(ring: list[Edge]) -> bool:
    """Whether a ring goes round a hole: its signed area, summed over columns, is then negative."""
    return sum(x * STEPS[direction][1] for x, _, direction in ring) < 0


def cut_hole(ring: list[Edge], inside: NDArray[np.bool_]) -> tuple[Edge, Edge]:
    """Return a hole's leftmost edge, and the first edge west of it, which belongs to another ring."""
    x, y, _ = edge = min(edge for edge in ring if edge[2] == SOUTH)
    outside = np.flatnonzero(~inside[y, :x])
    return edge, (int(outside[-1]) + 1 if outside.size else 0, y + 1, NORTH)


def walk_outline(
    edge: Edge, left: dict[Edge, None], edges: Container[Edge], cuts: Mapping[Edge, Edge]
) -> Iterator[tuple[float, float]]:
    """Yield the corners from an edge on, across cuts and back, until it comes again; remove its edges from ``left``."""
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
    """Return the point where a cut meets an edge that goes north or south."""
    x, y, direction = edge
    return (x + INSET, y - 1 + CUT) if direction == NORTH else (x - INSET, y + CUT)


def inset_corner(edge: Edge, following: Edge) -> tuple[float, float]:
    """Return the corner between two edges, moved into the class."""
    (x_one, y_one), (x_other, y_other) = (STEPS[(direction + 1) % 4] for direction in (edge[2], following[2]))
    return following[0] + INSET * (x_one + x_other), following[1] + INSET * (y_one + y_other)
