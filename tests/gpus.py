"""Parts of the library on a GPU that is not there: tensors with a device and a shape, but without values.

An operation on tensors of two devices fails as it would on a real GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tag2mask.refine import joint_bilateral, pixel_adaptive

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch can use")


@contextmanager
def on_a_gpu(*modules: nn.Module) -> Iterator[None]:
    """In this context, tensors have no values; the modules' are on the GPU, and so stay."""
    mode = FakeTensorMode()
    with pytest.MonkeyPatch.context() as patch, mode:
        # What asks for values: checks of maps and of what refiners are given.
        patch.setattr(torch.compiler, "is_exporting", lambda: True)
        for refiner in (joint_bilateral, pixel_adaptive):
            patch.setattr(refiner, "require_fitting", lambda *_: None)
        for part in (part for module in modules for part in module.modules()):
            part._parameters |= {name: nn.Parameter(moved(one)) for name, one in present(part._parameters).items()}
            part._buffers |= {name: moved(one) for name, one in present(part._buffers).items()}
        yield


def present(tensors: dict[str, Any]) -> dict[str, Tensor]:
    return {name: one for name, one in tensors.items() if one is not None}


def moved(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")
