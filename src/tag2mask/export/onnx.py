"""A run as one ONNX file, for any batch, height and width; compared with torch before it is declared good.

Shapes: B batch, C classes, h w patch grid, Y X pixels.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import tag2mask
from tag2mask.errors import RunError, SettingsError
from tag2mask.methods import Ask, Method
from tag2mask.training.run import Run, open_run

NEEDED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-3
SIZES = ((1, 4, 4), (2, 3, 6), (3, 7, 5))  # photographs, patches down, patches across
OUTPUTS = ("logits", "maps")


@dataclass(frozen=True)
class OnnxSummary:
    """The file, and by how much its outputs differ from torch's at most."""

    path: Path
    bytes: int
    largest_difference: float

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**asdict(self), "path": str(self.path)}


class FromPixels(nn.Module):
    """Photographs ``(B, bands, Y, X)`` in [0, 1] to logits ``(B, C)`` and class maps ``(B, C, h, w)``.

    Sides are multiples of the patch.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, method: Method, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.method = method
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise and look."""
        evidence = self.method((images - self.mean) / self.std, ask=Ask(maps=True))
        assert evidence.maps_BChw is not None
        return evidence.scores_BC, evidence.maps_BChw


def export_onnx(run: Path, out: Path) -> OnnxSummary:
    """Write ``out``; its metadata hold what is needed to use it without this package.

    Raises:
        SettingsError: the extra is missing.
        RunError: ``run`` is no run, its method cannot be exported, ``out`` is there, or the file differs from torch.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise SettingsError(f"export needs {', '.join(missing)}: pip install 'tag2mask[onnx]'")
    if out.exists():
        raise RunError(f"{out} is already there; choose another --out")
    opened = open_run(run)
    model = FromPixels(opened.load_method(), opened.mean, opened.std).eval()
    patch, bands = model.method.patch, opened.settings.data.bands
    program = traced(model, torch.rand(2, bands, 4 * patch, 6 * patch), opened.settings.method)
    program.model.metadata_props.update(metadata(opened, patch))
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f"{out.name}.part")
    try:
        program.save(str(beside))
        largest = max(difference(model, beside, bands, patch, size) for size in SIZES)
        if largest > TOLERANCE:
            raise RunError(
                f"the ONNX file differs from torch by {largest:.1e}, more than {TOLERANCE:.0e}; none is left"
            )
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
    return OnnxSummary(out, out.stat().st_size, largest)


def traced(model: nn.Module, images: Tensor, name: str) -> torch.onnx.ONNXProgram:
    """The graph, for any batch, height and width.

    Raises:
        RunError: it cannot be traced.
    """
    free = torch.export.Dim.DYNAMIC
    quiet = contextlib.redirect_stdout(io.StringIO())  # the exporter tells of its steps
    try:
        with quiet, warnings.catch_warnings(action="ignore"):
            program = torch.onnx.export(
                model,
                (images,),
                input_names=["images"],
                output_names=list(OUTPUTS),
                dynamic_shapes={"images": {0: free, 2: free, 3: free}},
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:160]
        raise RunError(
            f"{name} cannot be exported to ONNX ({reason}); gradcam cannot, its maps are gradients"
        ) from None
    assert program is not None
    return program


def metadata(run: Run, patch: int) -> dict[str, str]:
    """What a user of the file has to know."""
    return {
        "tool": f"tag2mask {tag2mask.__version__}",
        "kind": "tagged",
        "method": run.settings.method,
        "checkpoint_sha256": run.checkpoint_hash(),
        "classes": json.dumps(run.classes.to_json()),
        "patch": str(patch),
        "bands": str(run.settings.data.bands),
        "image_size": str(run.settings.backbone.image_size),
    }


@torch.no_grad()
def difference(model: nn.Module, path: Path, bands: int, patch: int, size: tuple[int, int, int]) -> float:
    """How far apart torch and the file are on noise, at most over all outputs."""
    import onnxruntime

    count, high, wide = size
    images = torch.rand(count, bands, high * patch, wide * patch)
    found = onnxruntime.InferenceSession(str(path)).run(None, {"images": images.numpy()})
    pairs = zip(model(images), found, strict=True)
    return max(float((wanted - torch.from_numpy(got)).abs().max()) for wanted, got in pairs)
