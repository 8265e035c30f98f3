"""Metadata and inference of a model in one ONNX file, without torch."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tag2mask._version import __version__
from tag2mask.data import Classes, DataSettings
from tag2mask.errors import RunError, SettingsError
from tag2mask.notation import from_json
from tag2mask.segmentation.kinds import RUN
from tag2mask.settings import LARGEST_SIDE
from tag2mask.stored import Number, Stored, validate

TEXTS = ("kind", "name", "model", "checkpoint_sha256", "labels_used", "truth_used")  # all other metadata are JSON
Side = Annotated[int, Field(strict=True, gt=0, le=LARGEST_SIDE)]


class StoredCard(Stored):
    """The metadata of a file, text and JSON."""

    kind: str
    name: str
    model: str
    classes: dict[str, Any]
    data_settings: dict[str, Any]
    mean: list[Number]
    std: list[Annotated[Number, Field(gt=0)]]
    side: Side
    crop: Side
    patch: Side
    checkpoint_sha256: str
    labels_used: str
    truth_used: str
    tag_threshold: Annotated[Number, Field(gt=0, lt=1)] = 0.5


@dataclass(frozen=True)
class ModelCard:
    """Everything needed to use the file; ``kind`` is that of the folder that it was exported from.

    The input is ``images (B, bands, Y, X)`` in [0, 1]; the graph applies ``mean`` and ``std``. ``side`` is the short
    side of images at scale 1, ``crop`` a segmenter's window, and sides are multiples of ``patch``. A run predicts tags
    with a probability above ``tag_threshold``.
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
    tag_threshold: float = 0.5

    def to_metadata(self) -> dict[str, str]:
        """Return the metadata as texts by name; values that are not texts are JSON."""
        return {
            "tool": f"tag2mask {__version__}",
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
            "tag_threshold": str(self.tag_threshold),
        }

    @classmethod
    def from_metadata(cls, texts: Mapping[str, str], where: Path) -> Self:
        """Restore a card from the metadata that ``to_metadata`` returned.

        Raises:
            RunError: something is missing or damaged.
        """
        try:
            told = {name: texts[name] for name in StoredCard.model_fields if name in texts}
            content = {name: text if name in TEXTS else from_json(text.encode()) for name, text in told.items()}
            card = validate(StoredCard, content)
            classes = Classes.from_json(card.classes)
            data = DataSettings.parse(card.data_settings, where=str(where))
            for name, values in (("mean", card.mean), ("std", card.std)):
                if len(values) != data.bands:
                    raise ValueError(f"{name} has {len(values)} values, but there are {data.bands} bands")
        except ValueError as error:
            raise RunError(
                f"{where}: its metadata are not from this version of tag2mask ({error}); write it with tag2mask export"
            ) from None
        others = {name: getattr(card, name) for name in (*TEXTS, "side", "crop", "patch", "tag_threshold")}
        return cls(classes=classes, data_settings=data, mean=tuple(card.mean), std=tuple(card.std), **others)


class OnnxModel:
    """An opened ONNX file."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            SettingsError: onnxruntime is missing.
            RunError: the file does not exist, or was not written by ``export``.
        """
        if importlib.util.find_spec("onnxruntime") is None:
            raise SettingsError(f"{path} needs onnxruntime, which is not installed: pip install onnxruntime")
        if not path.is_file():
            raise RunError(f"{path}: the file does not exist; write it with tag2mask export RUN --out {path}")
        import onnxruntime

        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        options = onnxruntime.SessionOptions()
        for threads in ("intra_op", "inter_op"):  # spinning threads would occupy cores that others need
            options.add_session_config_entry(f"session.{threads}.allow_spinning", "0")
        try:
            self.session: Any = onnxruntime.InferenceSession(
                str(path), options, [name for name in wanted if name in onnxruntime.get_available_providers()]
            )
        except Exception as error:  # onnxruntime's errors have no common base class
            raise RunError(f"{path}: cannot be opened ({' '.join(str(error).split())[:160]})") from None
        self.path = path
        self.card = ModelCard.from_metadata(self.session.get_modelmeta().custom_metadata_map, path)
        self.require_fit()

    def require_fit(self) -> None:
        """Check that the network has the bands and classes stated in its metadata.

        Raises:
            RunError: it does not.
        """
        classes = self.card.classes.names if self.card.kind == RUN else self.card.classes.pixel_names
        wanted = {"bands": self.card.data_settings.bands, "classes": len(classes)}
        places = {"bands": self.session.get_inputs()[0], "classes": self.session.get_outputs()[0]}
        for name, place in places.items():
            found = place.shape[1] if len(place.shape) > 1 else None
            if found != wanted[name]:
                raise RunError(
                    f"{self.path}: has {found} {name}, but its metadata say {wanted[name]}; write it with "
                    "tag2mask export"
                )

    def __call__(self, images: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return all outputs for images ``(B, bands, Y, X)`` in [0, 1]."""
        try:
            found: list[NDArray[np.float32]] = self.session.run(None, {"images": images})
        except Exception as error:  # as above
            raise RunError(f"{self.path}: cannot be run ({' '.join(str(error).split())[:160]})") from None
        return found
