"""The refiner ``probe``: classifies patches by their features, learned over a data set from the run's class maps.

Class maps of single images have individual errors; one linear layer over all patches of the data set can only learn
what they have in common. The background is one of its classes, so it needs no background threshold.
Shapes: B batch, C classes, D width, M patches, S scores (the background's first if there is one), h w patch grid, Y X
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tag2mask.data.transforms import eval_resize
from tag2mask.errors import RunError
from tag2mask.files import file_hash
from tag2mask.methods import Ask, Evidence, Method
from tag2mask.probe.linear import LinearProbe
from tag2mask.probe.settings import ProbeSettings as ProbeSettings
from tag2mask.settings import Side
from tag2mask.stored import Stored, damaged, read_stored
from tag2mask.tensors import read_tensors
from tag2mask.training.run import Run, require_parts
from tag2mask.training.start import as_trained
from tag2mask.vit.grid import resize, to_pixels
from tag2mask.vit.vit import Features

CONFIG, WEIGHTS = "config.yaml", "probe.safetensors"


@dataclass(frozen=True)
class ProbeView:
    """A method's output for an image: evidence, patch features ``(h, w, D)``, and the image's size before padding.

    The features are taken after the backbone's final norm.
    """

    evidence: Evidence | None
    features_hwD: Tensor
    size: tuple[int, int]


@torch.no_grad()
def look(run: Run, method: Method, image: Tensor, side: int, ask: Ask | None = None) -> ProbeView:
    """Run ``method`` on one image ``(bands, Y, X)`` in [0, 1], in the precision of the run's training.

    ``method`` is the method of ``run``, ``side`` the image's short side. Without ``ask``, the evidence is None.
    """
    device = next(method.parameters()).device
    pixels, size = eval_resize(image, side, method.patch, run.mean, run.std)
    batch = pixels[None].to(device)
    seen: list[Features] = []
    handle = method.vit.register_forward_hook(lambda module, args, features: seen.append(features))
    try:
        with as_trained(run.settings.precision, device):
            evidence = None if ask is None else method(batch, ask=ask)
            if evidence is None:
                method.vit(batch)
            features_MD = method.vit.norm(seen[0].patch_BMD)[0].float()
    finally:
        handle.remove()
    return ProbeView(evidence, features_MD.view(*seen[0].grid, -1), size)


class ProbeOrigin(Stored):
    """The run that a probe was trained with."""

    name: str
    sha256: str


class ProbeConfig(Stored):
    """Required content of a probe's ``config.yaml``."""

    side: Side
    run: ProbeOrigin


@dataclass(frozen=True)
class Probe:
    """A trained probe with its weights in memory."""

    path: Path
    run_sha256: str
    side: int
    linear: LinearProbe

    def __call__(self, run: Run, method: Method, image: Tensor, values: Sequence[int]) -> Tensor:
        """Probabilities ``(S, Y, X)`` of the pixel ``values`` alone.

        ``run`` is the run that the probe was trained with, ``method`` its method; ``image (bands, Y, X)`` is in [0, 1].
        """
        seen = look(run, method, image, self.side)
        height, width = seen.features_hwD.shape[:2]
        allowed_S = torch.zeros(len(self.linear.bias_S), dtype=torch.bool)
        allowed_S[list(values)] = True
        likely_MS = self.linear.within(seen.features_hwD.flatten(0, 1).cpu(), allowed_S).softmax(-1)
        likely_Shw = likely_MS[:, list(values)].T.view(-1, height, width)
        return resize(to_pixels(likely_Shw[None], method.patch, seen.size), image.shape[-2:])[0]

    def origin(self) -> dict[str, str]:
        """Return the entry for a manifest."""
        return {"name": self.path.resolve().name, "sha256": file_hash(self.path / WEIGHTS)}


def run_of(path: Path) -> ProbeOrigin:
    """Return the run that the probe in a folder was begun with.

    Raises:
        RunError: its config is damaged.
    """
    return read_stored(path / CONFIG, ProbeConfig).run


def open_probe(path: Path) -> Probe:
    """Open a probe folder.

    Raises:
        RunError: it is not a probe, or it is unfinished or damaged.
    """
    if (path / CONFIG).is_file() and not (path / WEIGHTS).is_file():
        raise RunError(f"{path} is not finished: repeat the command that began it; with train, add --resume")
    require_parts(path, (CONFIG, WEIGHTS), "a probe", "train-probe")
    config = read_stored(path / CONFIG, ProbeConfig)
    with damaged(path / WEIGHTS):
        tensors, _ = read_tensors(path / WEIGHTS)
        if not {"weight_SD", "bias_S"} <= tensors.keys() <= {"weight_SD", "bias_S", "lead_S"}:
            raise ValueError("expected weight_SD, bias_S and perhaps lead_S")
        linear = LinearProbe(**tensors)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        rows = {shape for name, shape in shapes.items() if name != "weight_SD"}
        if linear.weight_SD.ndim != 2 or rows != {shapes["weight_SD"][:1]}:
            raise ValueError(f"shapes do not fit: {shapes}")
    return Probe(path, config.run.sha256, config.side, linear)
