"""Gaussian filtering of values at N points in d dimensions on a permutohedral lattice, in torch.

Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", Eurographics 2010.
Shapes: N points, d dimensions, V lattice vertices, C channels.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor


class Lattice:
    """The lattice around ``features (N, d)``, in units of the filter's deviation; built once, used repeatedly."""

    def __init__(self, features: Tensor) -> None:
        self.dimensions = features.shape[1]
        vertex_NK, weight_NK = surround(features.float())
        self.radix = vertex_NK.flatten(0, 1).amax(0) - vertex_NK.flatten(0, 1).amin(0) + 1 + 2 * (self.dimensions + 1)
        self.low = vertex_NK.flatten(0, 1).amin(0) - (self.dimensions + 1)
        codes, place = torch.unique(self.code(vertex_NK).flatten(), return_inverse=True)
        self.vertices = len(codes)
        self.slice_NV = rows_of(place.view(weight_NK.shape), weight_NK, self.vertices + 1)
        self.splat_VN = transpose(place, weight_NK, self.vertices + 1)
        self.neighbours = self.find_neighbours(vertex_NK.flatten(0, 1), place, codes)

    def code(self, vertices: Tensor) -> Tensor:
        """Encode each vertex as one integer whose digits are its first d coordinates."""
        code = torch.zeros(vertices.shape[:-1], dtype=torch.int64, device=vertices.device)
        for i in range(self.dimensions):
            code = code * self.radix[i] + (vertices[..., i] - self.low[i])
        return code

    def find_neighbours(self, vertices: Tensor, place: Tensor, codes: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Indices of each vertex's neighbours before and after it along each of the d + 1 axes; V if there is none."""
        own = torch.empty(self.vertices, self.dimensions, dtype=vertices.dtype, device=vertices.device)
        own[place] = vertices
        found = []
        for axis in range(self.dimensions + 1):
            step = torch.ones(self.dimensions, dtype=own.dtype, device=own.device)
            if axis < self.dimensions:
                step[axis] = -self.dimensions
            found.append((self.look_up(own - step, codes), self.look_up(own + step, codes)))
        return found

    def look_up(self, vertices: Tensor, codes: Tensor) -> Tensor:
        """Indices of vertices in the lattice; V for those that are not in it."""
        wanted = self.code(vertices)
        place = torch.searchsorted(codes, wanted).clamp_max(self.vertices - 1)
        found: Tensor = torch.where(codes[place] == wanted, place, self.vertices)
        return found

    def weigh(self, factor_N: Tensor) -> None:
        """Multiply each point's values by its factor before and after every filtering."""
        self.slice_NV.values().mul_(factor_N.repeat_interleave(self.dimensions + 1))
        self.splat_VN.values().mul_(factor_N[self.splat_VN.col_indices()])

    def filter(self, values_NC: Tensor) -> Tensor:
        """Each point's Gaussian-weighted sum over all points, ``(N, C)``: splat, blur along every axis, slice."""
        # The last row stays 0: it stands for vertices that are not in the lattice.
        lattice_VC = self.splat_VN @ values_NC
        for before, after in self.neighbours:
            blurred = lattice_VC[:-1] + 0.5 * (lattice_VC[before] + lattice_VC[after])
            lattice_VC = torch.cat([blurred, torch.zeros_like(lattice_VC[:1])])
        out_NC: Tensor = self.slice_NV @ lattice_VC
        return out_NC / (1.0 + 0.5**self.dimensions)


def rows_of(column_NK: Tensor, value_NK: Tensor, columns: int) -> Tensor:
    """Sparse matrix ``(N, columns)`` with K entries in each row."""
    N, K = column_NK.shape
    edges = torch.arange(0, N * K + 1, K, device=column_NK.device)
    return compress_rows(edges, column_NK.flatten(), value_NK.flatten(), (N, columns))


def transpose(column: Tensor, value_NK: Tensor, columns: int) -> Tensor:
    """Transpose of that matrix, ``(columns, N)``; ``column`` is flat."""
    order = column.argsort()
    edges = torch.cat([column.new_zeros(1), torch.bincount(column, minlength=columns).cumsum(0)])
    rows = order // value_NK.shape[1]
    return compress_rows(edges, rows, value_NK.flatten()[order], (columns, len(value_NK)))


def compress_rows(edges: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    """Sparse matrix in CSR format, whose products are several times as fast as ``index_add``."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(edges, columns, values, size, check_invariants=False)


def surround(features: Tensor) -> tuple[Tensor, Tensor]:
    """Simplex around each point: integer vertices ``(N, d + 1, d)``, without the last coordinate, and weights."""
    N, d = features.shape
    device = features.device
    scale = [math.sqrt(2 / 3) * (d + 1) / math.sqrt((i + 1) * (i + 2)) for i in range(d)]
    scaled = features * torch.tensor(scale, device=device)
    # Map onto the hyperplane where coordinates sum to 0.
    later = scaled.flip(1).cumsum(1).flip(1)  # later[i] = sum of scaled[i:]
    elevated = torch.cat([later, torch.zeros(N, 1, device=device)], 1)
    elevated[:, 1:] -= torch.arange(1, d + 1, device=device) * scaled
    # Find the nearest point whose coordinates are multiples of d + 1, and the order of the remainders.
    rounded = (elevated / (d + 1)).round() * (d + 1)
    excess = (rounded.sum(1) / (d + 1)).round().long()
    rest = elevated - rounded
    order = rest.argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order)
    rank.scatter_(1, order, torch.arange(d + 1, device=device).expand(N, -1).contiguous())
    rank += excess[:, None]
    rounded = rounded + ((rank < 0).float() - (rank > d).float()) * (d + 1)
    rank = rank % (d + 1)
    # Barycentric weights from the sorted remainders.
    rest = (elevated - rounded) / (d + 1)
    weight = torch.zeros(N, d + 2, device=device)
    weight.scatter_add_(1, d - rank, rest)
    weight.scatter_add_(1, d + 1 - rank, -rest)
    weight[:, 0] += 1 + weight[:, d + 1]
    # Vertex k of the simplex adds k to the coordinates with the lowest ranks and k - (d + 1) to the others.
    k = torch.arange(d + 1, device=device).view(1, -1, 1)
    raised = torch.where(rank[:, None, :] <= d - k, k, k - (d + 1))
    vertices = rounded.long()[:, None, :] + raised
    return vertices[..., :d].contiguous(), weight[:, : d + 1].contiguous()
