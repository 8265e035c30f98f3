"""Which refiners work on maps, and the fully connected CRF's constants, ours and the papers'."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tag2mask.settings import Settings, Side

AFFINITY, PAMR, PROBE, WALK, GUIDED, CRF = "affinity", "pamr", "probe", "walk", "guided", "crf"  # refiners


class CRFSettings(Settings):
    """``place`` and ``place_weight`` are the Gaussian kernel's deviation in pixels and its weight.

    ``colour_place`` (pixels), ``colour`` (of 255) and ``colour_weight`` are the bilateral kernel's. Pixels are those of
    an image whose long side is ``size``, so that both kernels grow with the image; None: the image's own pixels.
    ``unary`` takes the ``scores`` as probabilities, or only which is highest (``labels``), believed with probability
    ``trust``.
    The defaults are for a ViT's maps, which are smooth and mostly right: beside MCTformer's constants, the bilateral
    kernel reaches half as far, weighs half and wants colours more alike, and there are half as many iterations. They
    were chosen by their scores against the true masks of 45 images of msrc21.
    """

    place: float = Field(3.0, gt=0)
    place_weight: float = Field(3.0, ge=0)
    colour_place: float = Field(40.0, gt=0)
    colour: float = Field(5.0, gt=0)
    colour_weight: float = Field(5.0, ge=0)
    size: int | None = Field(500, gt=0, le=2**20)
    unary: Literal["scores", "labels"] = "scores"
    trust: float = Field(0.7, gt=0, lt=1)
    iterations: int = Field(5, ge=1, le=1000)


# The papers' constants; what a paper leaves out are those of the first.
MCTFORMER: Mapping[str, Any] = {
    "place": 3.0,
    "place_weight": 3.0,
    "colour_place": 80.0,
    "colour": 13.0,
    "colour_weight": 10.0,
    "size": None,
    "iterations": 10,
}
CRF_PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "mctformer": MCTFORMER,  # background alphas and class maps, before AffinityNet
        "weaktr-voc": {  # on labels of the fine CAM
            **MCTFORMER,
            "place": 4.0,
            "colour_place": 83.0,
            "colour": 5.0,
            "colour_weight": 3.0,
            "unary": "labels",
        },
        "weaktr-coco": {**MCTFORMER, "colour_place": 50.0, "colour": 5.0, "unary": "labels"},
        # WeakTr's last test
        "segmenter-voc": {**MCTFORMER, "colour_place": 83.0, "colour": 5.0, "colour_weight": 3.0},
        "segmenter-coco": {**MCTFORMER, "place": 1.0, "colour_place": 67.0, "colour": 3.0, "colour_weight": 4.0},
        # MCTformer's
        "deeplab-voc": {**MCTFORMER, "place": 4.0, "colour_place": 83.0, "colour": 5.0, "colour_weight": 3.0},
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


def chain(refine: Any) -> Any:
    """A text with commas is a list of refiners, ``none`` an empty one."""
    if isinstance(refine, str):
        return tuple(name.strip() for name in refine.split(",") if name.strip() not in ("", "none"))
    return refine


Refiners = Annotated[tuple[str, ...], BeforeValidator(chain)]


class RefineSettings(Settings):
    """What is done to class maps, or to the probabilities of a segmenter, before a pixel gets its class.

    ``names`` are refiners in their order; those on pixels see the image with a long side of at most ``side``. ``crf``
    are the CRF's constants and ``crf_engine`` what computes it. ``probe`` and ``walk`` are the folders that
    ``train-probe`` and ``refine-train`` wrote, for the refiners of these names.
    """

    names: Refiners = ()
    side: Side = 640
    crf: CRFConstants = CRFSettings()
    crf_engine: CRFEngine = "torch"
    probe: str | None = None
    walk: str | None = None
