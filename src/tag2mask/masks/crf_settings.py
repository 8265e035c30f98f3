"""The fully connected CRF's constants, and the papers'."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tag2mask.settings import Settings


class CRFSettings(Settings):
    """``place`` and ``place_weight`` are the Gaussian kernel's deviation in pixels and its weight.

    ``colour_place`` (pixels), ``colour`` (of 255) and ``colour_weight`` are the bilateral kernel's. ``unary`` takes the
    ``scores`` as probabilities, or only which is highest (``labels``), believed with probability ``trust``.
    """

    place: float = Field(3.0, gt=0)
    place_weight: float = Field(3.0, ge=0)
    colour_place: float = Field(80.0, gt=0)
    colour: float = Field(13.0, gt=0)
    colour_weight: float = Field(10.0, ge=0)
    unary: Literal["scores", "labels"] = "scores"
    trust: float = Field(0.7, gt=0, lt=1)
    iterations: int = Field(10, ge=1, le=1000)


# The papers' constants.
CRF_PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "mctformer": {},  # background alphas and class maps, before AffinityNet
        "weaktr-voc": {  # on labels of the fine CAM
            "place": 4.0,
            "colour_place": 83.0,
            "colour": 5.0,
            "colour_weight": 3.0,
            "unary": "labels",
        },
        "weaktr-coco": {"colour_place": 50.0, "colour": 5.0, "unary": "labels"},
        "segmenter-voc": {"colour_place": 83.0, "colour": 5.0, "colour_weight": 3.0},  # WeakTr's last test
        "segmenter-coco": {"place": 1.0, "colour_place": 67.0, "colour": 3.0, "colour_weight": 4.0},
        "deeplab-voc": {"place": 4.0, "colour_place": 83.0, "colour": 5.0, "colour_weight": 3.0},  # MCTformer's
    }
)


def named_constants(crf: Any) -> Any:
    """A name stands for one of the papers' constants."""
    if not isinstance(crf, str):
        return crf
    if crf not in CRF_PRESETS:
        raise ValueError(f"wanted settings or one of {', '.join(CRF_PRESETS)}")
    return CRF_PRESETS[crf]


CRFEngine = Literal["torch", "pydensecrf2"]
CRFConstants = Annotated[CRFSettings, BeforeValidator(named_constants)]
