"""Checks of what refiners are given."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def require_fitting(image: Any, maps: Any) -> None:
    """Check that both are finite float tensors ``(bands, Y, X)`` and ``(K, Y, X)``, or batches, of one size.

    Raises:
        ValueError: they are not.
    """
    for name, values in (("image", image), ("maps", maps)):
        if not isinstance(values, Tensor) or not values.is_floating_point():
            kind = f"a tensor of {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(f"{name}: expected a torch tensor of floats, got {kind}")
        if not values.isfinite().all():
            raise ValueError(f"{name}: holds values that are not finite")
    if image.ndim < 3 or image.ndim != maps.ndim or image.shape[-2:] != maps.shape[-2:]:
        shapes = f"{tuple(image.shape)} and {tuple(maps.shape)}"
        raise ValueError(f"image and maps: have shapes {shapes}, expected (bands, Y, X) and (K, Y, X) of one size")
