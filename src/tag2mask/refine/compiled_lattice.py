"""The permutohedral lattice of ``lattice``, compiled for one CPU core by numba.

Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", Eurographics 2010.
Shapes: N points, d dimensions, K = d + 1 vertices of a simplex, V lattice vertices, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

F = TypeVar("F", bound=Callable[..., Any])
Floats: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.integer[Any]]
FREE = -1  # in the hash table
MIX = np.int64(0x9E3779B97F4A7C15 - 2**64)  # 2^64 over the golden ratio: multiplied by it, near codes part


def compiled(function: F) -> F:
    """Compile a function when it is first called, and keep the machine code on disk where there is a place for it."""
    try:
        return cast(F, numba.njit(cache=True)(function))
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return cast(F, numba.njit(function))


class CompiledLattice:
    """The lattice around ``features (N, d)``, in units of the filter's standard deviation; built once, used often."""

    def __init__(self, features: Tensor) -> None:
        points_Nd = np.ascontiguousarray(features.float().numpy())
        self.dimensions = points_Nd.shape[1]
        nearest_Nd, rank_NK, self.weight_NK = surround(points_Nd, scales(self.dimensions))
        margin = self.dimensions + 1
        low = nearest_Nd.min(0).astype(np.int64) - 2 * margin
        radix = nearest_Nd.max(0).astype(np.int64) - low + 1 + 2 * margin
        digits = np.append(np.cumprod(radix[:0:-1])[::-1], 1)  # what one step of each coordinate adds to the code
        self.place_NK, self.neighbours_KV2 = connect(nearest_Nd, rank_NK, low, digits)
        self.vertices = self.neighbours_KV2.shape[1]

    def weigh(self, factor_N: Tensor) -> None:
        """Multiply each point's values by its factor before and after every filtering."""
        self.weight_NK *= factor_N.numpy()[:, None]

    def filter(self, values_NC: Tensor) -> Tensor:
        """Each point's Gaussian-weighted sum over all points, ``(N, C)``: splat, blur along every axis, slice."""
        values = np.ascontiguousarray(values_NC.float().numpy())
        filtered = splat_blur_slice(values, self.place_NK, self.weight_NK, self.neighbours_KV2)
        return torch.from_numpy(filtered)


def scales(d: int) -> NDArray[np.float32]:
    """What each dimension is stretched by, so that the blur has deviation 1."""
    return np.array([math.sqrt(2 / 3) * (d + 1) / math.sqrt((i + 1) * (i + 2)) for i in range(d)], np.float32)


@compiled
def surround(points_Nd: Floats, scale_d: Floats) -> tuple[Integers, Integers, Floats]:
    """The simplex around each point.

    Its vertex of remainder 0 without the last coordinate ``(N, d)``, the rank of each coordinate ``(N, K)``, and the
    weights of its vertices ``(N, K)``.
    """
    N, d = points_Nd.shape
    nearest_Nd = np.empty((N, d), np.int32)
    rank_NK = np.empty((N, d + 1), np.int8)
    weight_NK = np.empty((N, d + 1), np.float32)
    elevated = np.empty(d + 1, np.float32)
    rounded = np.empty(d + 1, np.float32)
    rest = np.empty(d + 1, np.float32)
    rank = np.empty(d + 1, np.int64)
    weight = np.empty(d + 2, np.float32)
    for n in range(N):
        # Onto the hyperplane where coordinates sum to 0.
        later = np.float32(0)
        for i in range(d, 0, -1):
            scaled = points_Nd[n, i - 1] * scale_d[i - 1]
            elevated[i] = later - i * scaled
            later += scaled
        elevated[0] = later
        # The nearest point whose coordinates are multiples of d + 1, and the rank of what remains.
        total = 0
        for i in range(d + 1):
            multiple = np.rint(elevated[i] / (d + 1))
            total += int(multiple)
            rounded[i] = multiple * (d + 1)
            rest[i] = elevated[i] - rounded[i]
            rank[i] = 0
        for i in range(d):
            for j in range(i + 1, d + 1):
                if rest[i] < rest[j]:
                    rank[i] += 1
                else:
                    rank[j] += 1
        for i in range(d + 1):
            rank[i] += total
            if rank[i] < 0:
                rank[i] += d + 1
                rounded[i] += d + 1
            elif rank[i] > d:
                rank[i] -= d + 1
                rounded[i] -= d + 1
        # Barycentric weights from the sorted remainders.
        weight[:] = 0
        for i in range(d + 1):
            part = (elevated[i] - rounded[i]) / (d + 1)
            weight[d - rank[i]] += part
            weight[d + 1 - rank[i]] -= part
        weight[0] += 1 + weight[d + 1]
        for i in range(d + 1):
            rank_NK[n, i] = rank[i]
            weight_NK[n, i] = weight[i]
        for i in range(d):
            nearest_Nd[n, i] = int(rounded[i])
    return nearest_Nd, rank_NK, weight_NK


@compiled
def find_slot(table: Integers, codes: Integers, code: Any) -> Any:
    """The slot of a code in the hash table: its own, or the free one where it belongs."""
    mask = len(table) - 1
    slot = ((code * MIX) >> 20) & mask
    while table[slot] != FREE and codes[table[slot]] != code:
        slot = (slot + 1) & mask
    return slot


@compiled
def connect(nearest_Nd: Integers, rank_NK: Integers, low_d: Integers, digit_d: Integers) -> tuple[Integers, Integers]:
    """The place of every point's vertices ``(N, K)``, and of both neighbours on each axis ``(K, V, 2)``.

    A vertex is its code, the sum of (coordinate - low) x digit. A neighbour that the lattice lacks has place V.
    """
    N, d = nearest_Nd.shape
    place_NK = np.empty((N, d + 1), np.int32)
    table = np.full(1 << 16, FREE, np.int32)
    codes = np.empty(1 << 15, np.int64)
    V = 0
    for n in range(N):
        for k in range(d + 1):
            code = np.int64(0)
            for i in range(d):
                raised = k if rank_NK[n, i] <= d - k else k - (d + 1)
                code += (nearest_Nd[n, i] + raised - low_d[i]) * digit_d[i]
            slot = find_slot(table, codes, code)
            if table[slot] == FREE:
                if len(codes) == V:  # half full: twice the room
                    larger = np.empty(2 * V, np.int64)
                    larger[:V] = codes
                    codes = larger
                    table = np.full(4 * V, FREE, np.int32)
                    for v in range(V):
                        table[find_slot(table, codes, codes[v])] = v
                    slot = find_slot(table, codes, code)
                table[slot] = V
                codes[V] = code
                V += 1
            place_NK[n, k] = table[slot]
    every = digit_d.sum()
    neighbours_KV2 = np.empty((d + 1, V, 2), np.int32)
    for axis in range(d + 1):
        step = every - (d + 1) * digit_d[axis] if axis < d else every
        for v in range(V):
            before = table[find_slot(table, codes, codes[v] - step)]
            after = table[find_slot(table, codes, codes[v] + step)]
            neighbours_KV2[axis, v, 0] = V if before == FREE else before
            neighbours_KV2[axis, v, 1] = V if after == FREE else after
    return place_NK, neighbours_KV2


@compiled
def splat_blur_slice(values_NC: Floats, place_NK: Integers, weight_NK: Floats, neighbours_KV2: Integers) -> Floats:
    """Values at the points onto the lattice, blurred along each axis, and back to the points."""
    N, C = values_NC.shape
    K, V = neighbours_KV2.shape[:2]
    lattice_VC = np.zeros((V + 1, C), np.float32)  # the last row stays 0: vertices that the lattice lacks
    blurred_VC = np.zeros((V + 1, C), np.float32)
    for n in range(N):
        for k in range(K):
            place, weight = place_NK[n, k], weight_NK[n, k]
            for c in range(C):
                lattice_VC[place, c] += weight * values_NC[n, c]
    for axis in range(K):
        for v in range(V):
            before, after = neighbours_KV2[axis, v, 0], neighbours_KV2[axis, v, 1]
            for c in range(C):
                blurred_VC[v, c] = lattice_VC[v, c] + np.float32(0.5) * (lattice_VC[before, c] + lattice_VC[after, c])
        lattice_VC, blurred_VC = blurred_VC, lattice_VC
    out_NC = np.zeros((N, C), np.float32)
    scale = np.float32(1 / (1 + 0.5 ** (K - 1)))
    for n in range(N):
        for k in range(K):
            place, weight = place_NK[n, k], weight_NK[n, k] * scale
            for c in range(C):
                out_NC[n, c] += weight * lattice_VC[place, c]
    return out_NC
