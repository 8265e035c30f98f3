"""Position embeddings for other grids, against bicubic interpolation written out (reference notes, section 1.1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from numbered import numbered
from tag2mask.methods import build_method
from tag2mask.vit.positions import RESAMPLINGS
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.vit import ViT

A = -0.75


def matrix(old: int, new: int, step: float) -> NDArray[np.float64]:
    """Row i holds what each old place gives to place (i + 1/2) step - 1/2, by Keys's kernel with a = -0.75."""
    rows = np.zeros((new, old))
    for i in range(new):
        place = (i + 0.5) * step - 0.5
        first = int(np.floor(place)) - 1
        for j in range(first, first + 4):
            x = abs(place - j)
            weight = (A + 2) * x**3 - (A + 3) * x**2 + 1 if x <= 1 else A * x**3 - 5 * A * x**2 + 8 * A * x - 4 * A
            rows[i, min(max(j, 0), old - 1)] += weight
    return rows


def explicit(position: Tensor, grid: tuple[int, int], more: float) -> Tensor:
    _, height, width, _ = position.shape
    down = matrix(height, grid[0], height / (grid[0] + more))
    across = matrix(width, grid[1], width / (grid[1] + more))
    return torch.from_numpy(np.einsum("yh,xw,bhwd->byxd", down, across, position.double().numpy())).float()


@pytest.mark.parametrize(("name", "more"), [("released", 0.1), ("released-plus", 0.0)])
@pytest.mark.parametrize("grid", [(23, 31), (31, 23), (14, 18), (9, 20), (61, 61)])
def test_released_positions_are_bicubic(name: str, more: float, grid: tuple[int, int]) -> None:
    position = torch.randn(1, 14, 14, 5, generator=torch.Generator().manual_seed(0))
    found = RESAMPLINGS[name].later(position, grid)
    torch.testing.assert_close(found, explicit(position, grid, more), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("grid", [(23, 31), (9, 20), (61, 28)])
def test_the_tenth_of_a_patch_is_torchs_scale_factor(grid: tuple[int, int]) -> None:
    position = torch.randn(1, 14, 14, 5)
    factors = tuple((side + 0.1) / 14 for side in grid)
    wanted = F.interpolate(position.movedim(3, 1), scale_factor=factors, mode="bicubic", recompute_scale_factor=False)
    torch.testing.assert_close(
        RESAMPLINGS["released"].later(position, grid), wanted.movedim(1, 3), atol=1e-4, rtol=1e-4
    )


def test_the_tenth_of_a_patch_shifts_positions() -> None:
    """Section 1.1: up to 0.38 on 23 x 31 for embeddings of unit variance."""
    position = torch.randn(1, 14, 14, 384, generator=torch.Generator().manual_seed(0))
    shift = (
        RESAMPLINGS["released"].later(position, (23, 31)) - RESAMPLINGS["released-plus"].later(position, (23, 31))
    ).abs()
    assert shift.max().item() == pytest.approx(0.38, abs=0.08)


def test_plus_starts_with_each_position_four_times() -> None:
    position = torch.randn(1, 14, 14, 3)
    found = RESAMPLINGS["released-plus"].start(position, (28, 28))
    assert torch.equal(found, position.repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_a_method_places_positions_at_the_start_and_later(tmp_path: Path) -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    torch.nn.init.normal_(model.pos_embed)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    own = model.pos_embed.detach()[:, 1:].view(1, 14, 14, -1)
    for positions, wanted in (
        ("released-plus", own.repeat_interleave(2, 1).repeat_interleave(2, 2)),
        ("released", None),
    ):
        backbone = BackboneSettings(name="vit_tiny_patch16_224", image_size=448, positions=positions)
        method, _ = build_method("mctformer-plus", numbered(3), backbone, {}, tmp_path / "w.safetensors")
        assert isinstance(method.vit, ViT)
        placed = method.vit.position.detach()
        torch.testing.assert_close(
            placed, explicit(own, (28, 28), 0.0) if wanted is None else wanted, atol=1e-4, rtol=0
        )
        more = 0.1 if positions == "released" else 0.0
        later = method.vit.positions_at((23, 31)).view(1, 23, 31, -1)
        torch.testing.assert_close(later, explicit(placed, (23, 31), more), atol=1e-4, rtol=1e-4)
        again, _ = build_method("mctformer-plus", numbered(3), backbone, {}, "none")
        again.load_state_dict(method.state_dict())  # a run's weights fit, whatever positions were loaded


def test_at_their_own_grid_positions_stay() -> None:
    for positions in RESAMPLINGS:
        backbone = BackboneSettings.parse({"name": "vit_tiny_patch16_224", "image_size": 224, "positions": positions})
        torch.manual_seed(0)
        method, _ = build_method("mctformer-v1", numbered(3), backbone, {}, "none")
        assert torch.equal(method.vit.positions_at((14, 14)), method.vit.position.flatten(1, 2))


class Later(torch.nn.Module):
    """Positions for the grid of an image of 4-pixel patches."""

    def __init__(self) -> None:
        super().__init__()
        self.position = torch.nn.Parameter(torch.randn(1, 5, 6, 3))

    def forward(self, image: Tensor) -> Tensor:
        return RESAMPLINGS["released"].later(self.position, (image.shape[-2] // 4, image.shape[-1] // 4))


def test_released_positions_can_be_exported_for_any_grid() -> None:
    free, later = torch.export.Dim.DYNAMIC, Later()
    program = torch.export.export(later, (torch.rand(1, 28, 36),), dynamic_shapes=({1: free, 2: free},)).module()
    for grid in ((7, 9), (5, 6), (5, 9), (11, 4)):
        found = program(torch.rand(1, 4 * grid[0], 4 * grid[1]))
        own = grid == (5, 6)  # stays as it is
        torch.testing.assert_close(
            found, later.position if own else explicit(later.position.detach(), grid, 0.1), atol=1e-4, rtol=1e-4
        )
