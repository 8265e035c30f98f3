"""The outlines of a class as polygons, without holes and without loss.

Corners lie a quarter of a pixel inside the outermost pixels: a filler that asks for pixel centres paints exactly those
pixels, and so does one that cuts coordinates down to whole numbers and paints the border too (OpenCV). Pixels that
touch by a corner alone are two pieces. A hole is joined to the outer ring by a cut of no width.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

Points = NDArray[np.float64]  # (K, 2), x and y in pixels
Edge = tuple[int, int, int]  # x and y of the corner where it begins, and its direction, an index into STEPS
INSET = 0.25
# East, south, west, north as (x, y). Going along an edge, the class is on the right: the next direction in this list.
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def polygons(inside: NDArray[np.bool_]) -> Iterator[tuple[Points, int]]:
    """Of every piece of a class, ``inside (Y, X)``: its polygon of four points or more, and how many holes it has."""
    pieces, _ = ndimage.label(inside)
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        outer, *holes = sorted(rings(pieces[box] == number), key=signed_area, reverse=True)
        corner = np.array([box[1].start, box[0].start])
        yield without_straight_points(joined(outer, holes)) + corner, len(holes)


def rings(piece: NDArray[np.bool_]) -> list[Points]:
    """The outer ring of one piece, clockwise on the screen, and its holes, the other way round; a point per pixel."""
    edges = dict.fromkeys(edges_around(piece))
    left, found = edges.copy(), []
    while left:
        edge = next(iter(left))
        ring = []
        while edge in left:
            del left[edge]
            following = edge_after(edge, edges)
            ring.append(inset_corner(edge, following))
            edge = following
        found.append(np.array(ring))
    return found


def edges_around(piece: NDArray[np.bool_]) -> Iterator[Edge]:
    """Every pixel edge between the piece and what is not of it, with the piece on its right."""
    padded = np.pad(piece, 1)
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


def inset_corner(edge: Edge, following: Edge) -> tuple[float, float]:
    """The point between two edges, moved into the piece."""
    inwards = [STEPS[(direction + 1) % 4] for direction in {edge[2], following[2]}]
    return (
        following[0] + INSET * sum(x for x, _ in inwards),
        following[1] + INSET * sum(y for _, y in inwards),
    )


def signed_area(ring: Points) -> float:
    """The area of a ring; that of a hole is negative."""
    x, y = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


def joined(outer: Points, holes: list[Points]) -> Points:
    """One ring of all, by a cut there and back between the nearest points; holes near the outer ring come first."""
    far = cKDTree(outer)
    for hole in sorted(holes, key=lambda hole: nearest(far, hole)[0]):
        _, at, begin = nearest(cKDTree(outer), hole)
        around = np.roll(hole, -begin, axis=0)
        outer = np.concatenate([outer[: at + 1], around, around[:1], outer[at:]])
    return outer


def nearest(ring: cKDTree, hole: Points) -> tuple[float, int, int]:
    """How near a ring and a hole come to each other, and there the index of the ring's point and of the hole's."""
    distances, indices = map(np.asarray, ring.query(hole))
    begin = int(distances.argmin())
    return float(distances[begin]), int(indices[begin]), begin


def without_straight_points(ring: Points) -> Points:
    """The ring without points that lie on the way from the one before to the one after."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    bends = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    turns_back = (before * after).sum(1) < 0
    return np.asarray(ring[bends | turns_back])
