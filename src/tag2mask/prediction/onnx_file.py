"""A model as one ONNX file: what its metadata say, and how it is run. Neither needs torch."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

import tag2mask
from tag2mask.data import Classes, DataSettings
from tag2mask.errors import RunError, SettingsError


@dataclass(frozen=True)
class ModelCard:
    """What has to be known to use the file; ``kind`` is that of the folder that it was made from.

    Photographs go in as ``images (B, bands, Y, X)`` in [0, 1]; ``mean`` and ``std`` are applied within. ``side`` is
    their short side at scale 1, ``crop`` a segmenter's window, ``patch`` what sides are multiples of.
    """

    kind: str
    name: str
    model: str
    classes: Classes
    data_settings: DataSettings
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int
    crop: int
    patch: int
    checkpoint_sha256: str
    labels_used: str
    truth_used: str

    def to_metadata(self) -> dict[str, str]:
        """Texts by name; what is not text is JSON."""
        return {
            "tool": f"tag2mask {tag2mask.__version__}",
            "kind": self.kind,
            "name": self.name,
            "model": self.model,
            "classes": json.dumps(self.classes.to_json()),
            "data_settings": self.data_settings.model_dump_json(),
            "mean": json.dumps(self.mean),
            "std": json.dumps(self.std),
            "side": str(self.side),
            "crop": str(self.crop),
            "patch": str(self.patch),
            "checkpoint_sha256": self.checkpoint_sha256,
            "labels_used": self.labels_used,
            "truth_used": self.truth_used,
        }

    @classmethod
    def from_metadata(cls, texts: Mapping[str, str], where: Path) -> Self:
        """Read back what ``to_metadata`` gave.

        Raises:
            RunError: something is missing or damaged.
        """
        try:
            return cls(
                texts["kind"],
                texts["name"],
                texts["model"],
                Classes.from_json(json.loads(texts["classes"])),
                DataSettings.parse(json.loads(texts["data_settings"]), where=str(where)),
                tuple(json.loads(texts["mean"])),
                tuple(json.loads(texts["std"])),
                int(texts["side"]),
                int(texts["crop"]),
                int(texts["patch"]),
                texts["checkpoint_sha256"],
                texts["labels_used"],
                texts["truth_used"],
            )
        except (KeyError, ValueError, TypeError) as error:
            raise RunError(
                f"{where}: its metadata are not those of this tag2mask ({error}); write it with tag2mask export"
            ) from None


class OnnxModel:
    """A file, ready to run."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            SettingsError: onnxruntime is missing.
            RunError: there is no such file, or it is no ONNX file of ``export``.
        """
        if importlib.util.find_spec("onnxruntime") is None:
            raise SettingsError(f"{path} is run by onnxruntime, which is missing: pip install onnxruntime")
        if not path.is_file():
            raise RunError(f"{path}: there is no such file; write it with tag2mask export RUN --out {path}")
        import onnxruntime

        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        try:
            self.session: Any = onnxruntime.InferenceSession(
                str(path), providers=[name for name in wanted if name in onnxruntime.get_available_providers()]
            )
        except Exception as error:  # onnxruntime has a class an error, with no base of their own
            raise RunError(f"{path}: cannot be opened ({' '.join(str(error).split())[:160]})") from None
        self.card = ModelCard.from_metadata(self.session.get_modelmeta().custom_metadata_map, path)

    def __call__(self, images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """All outputs for photographs ``(B, bands, Y, X)`` in [0, 1]."""
        found: list[NDArray[np.float32]] = self.session.run(None, {"images": images})
        return found
