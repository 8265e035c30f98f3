"""Settings of the refiners, and constants of the fully connected CRF, ours and the papers'."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tag2mask.fields import Form
from tag2mask.settings import Settings, Side

# The refiners.
AFFINITY, PAMR, PROBE, WALK, SEGMENTER, GUIDED, CRF = "affinity", "pamr", "probe", "walk", "segmenter", "guided", "crf"


class CRFSettings(Settings):
    """Constants of the fully connected CRF: a Gaussian kernel (``place``) and a bilateral one (``colour``).

    The defaults suit a ViT's maps, which are smooth and mostly right: compared with MCTformer's constants, the
    bilateral kernel has half the reach and half the weight and requires more similar colours, and there are half as
    many iterations. They were chosen by their scores against the true masks of 45 images of msrc21.
    """

    place: float = Field(3.0, gt=0, description="Standard deviation of the Gaussian kernel in pixels")
    place_weight: float = Field(3.0, ge=0, description="Weight of the Gaussian kernel")
    colour_place: float = Field(40.0, gt=0, description="Standard deviation of the bilateral kernel in pixels")
    colour: float = Field(5.0, gt=0, description="Standard deviation of the bilateral kernel in colours from 0 to 255")
    colour_weight: float = Field(5.0, ge=0, description="Weight of the bilateral kernel")
    size: int | None = Field(
        500, gt=0, le=2**20, description="Long side of an image for which kernels are given; null: the image's own"
    )
    unary: Literal["scores", "labels"] = Field("scores", description="Start from all scores, or only from the highest")
    trust: float = Field(0.7, gt=0, lt=1, description="Probability of the highest score, if unary is labels")
    iterations: int = Field(5, ge=1, le=1000, description="Mean-field iterations")


# CRF recipes: the papers' constants. Constants that a paper does not state are MCTformer's.
MCTFORMER: Mapping[str, Any] = {
    "place": 3.0,
    "place_weight": 3.0,
    "colour_place": 80.0,
    "colour": 13.0,
    "colour_weight": 10.0,
    "size": None,
    "iterations": 10,
}
CRF_RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
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
    """Replace the name of a CRF recipe by its constants."""
    if isinstance(crf, Mapping | CRFSettings):
        return crf
    if not isinstance(crf, str) or crf not in CRF_RECIPES:
        raise ValueError(f"expected settings or a name, {', '.join(CRF_RECIPES)}; --refine crf applies the CRF")
    return CRF_RECIPES[crf]


CRFEngine = Literal["torch", "pydensecrf2"]
CRFConstants = Annotated[CRFSettings, BeforeValidator(named_constants)]


def chain(refine: Any) -> Any:
    """Parse a comma-separated list of refiners; ``none`` is an empty list."""
    if isinstance(refine, str):
        return tuple(name.strip() for name in refine.split(",") if name.strip() not in ("", "none"))
    return refine


Refiners = Annotated[
    tuple[str, ...] | None, BeforeValidator(chain), Form("none|affinity|pamr|probe|walk|segmenter|guided|crf")
]
OWN = (PROBE, CRF)  # default refiners of a run that has a probe


class RefineSettings(Settings):
    """How class maps, or the probabilities of a segmenter, are refined before pixels get their classes."""

    names: Refiners = Field(
        None,
        description="Refiners of maps, separated by commas, in this order; also installed plug-ins [probe,crf if the "
        "run has a probe and no setting of class maps is given; else none]",
    )
    side: Side = Field(640, description="Largest long side of an image for refiners on pixels")
    crf: CRFConstants = Field(CRFSettings(), description="Constants of the CRF, or the name of a CRF recipe")
    crf_engine: CRFEngine = Field("torch", description="Implementation of the CRF")
    probe: Annotated[str, Form("PROBE")] | None = Field(
        None, description="Folder written by train-probe, for the refiner probe [RUN/probe]"
    )
    walk: Annotated[str, Form("WALK")] | None = Field(
        None, description="Folder written by refine-train, for the refiner walk"
    )
    segmenter: Annotated[str, Form("SEGMENTER")] | None = Field(
        None, description="Folder written by segment, for the refiner segmenter"
    )

    def uses(self, name: str) -> bool:
        """Whether a refiner is named."""
        return name in (self.names or ())

    @property
    def probable(self) -> bool:
        """Whether a refiner makes class maps into probabilities."""
        return any(map(self.uses, (PROBE, SEGMENTER, CRF)))
