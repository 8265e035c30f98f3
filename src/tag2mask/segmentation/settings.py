"""All settings of a segmenter, as stored in its ``config.yaml``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tag2mask.fields import Form
from tag2mask.settings import LARGEST_SCALE, BatchSize, Rate, Settings, Side
from tag2mask.training.settings import LoopSettings
from tag2mask.vit.settings import BackboneSettings

Target = Literal["hard", "soft"]
Decoder = Literal["linear", "mask-transformer"]
# Where a vit's encoder starts: the run's trained backbone, or the pretrained weights that the run itself started from.
FROM_RUN, AS_RUN = "run", "pretrained"
# WeakTr's.
PAPER_TAU, PAPER_CLASSES = 1.2, 21
PAPER_TILE, PAPER_BASE, PAPER_CROP = 120, 520, 480
FITTED_VIEWS = 1800  # images that all epochs show after the decoder was fitted
OPTIMISERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        # Ours: for few steps on few images, from a trained encoder and a fitted decoder.
        "adamw": {
            "lr": 1e-4,
            "encoder": 0.12,
            "momentum": 0.9,
            "weight_decay": 0.05,
            "final": 0.01,
            "warmup": 0.05,
            "clip": 5.0,
        },
        # WeakTr's, with Nesterov momentum.
        "sgd": {
            "lr": 1e-4,
            "encoder": 0.1,
            "momentum": 0.9,
            "weight_decay": 0.0,
            "final": 0.1,
            "warmup": 0.0,
            "clip": None,
        },
    }
)


class SegmenterOptimiser(Settings):
    """The optimiser; missing settings get the defaults of its ``kind``.

    Rates rise over the fraction ``warmup`` of all steps, then fall to the fraction ``final`` by
    (1 - final) (1 - t)^power + final.
    """

    kind: Literal["adamw", "sgd"] = Field("adamw", description="AdamW (our choice) or SGD (WeakTr's)")
    lr: Rate = Field(description="Learning rate of the decoder")
    encoder: float = Field(ge=0, le=100, description="Learning rate of the encoder, relative to lr")
    momentum: float = Field(ge=0, lt=1, description="Nesterov momentum of SGD, or first beta of AdamW")
    weight_decay: float = Field(ge=0, le=100, description="Weight decay of weight matrices")
    power: float = Field(0.9, ge=0, description="Power of the polynomial decay of the rates")
    final: float = Field(ge=0, le=1, description="Final rates, as a fraction of the base rates")
    warmup: float = Field(ge=0, lt=1, description="Fraction of all steps over which the rates rise")
    clip: float | None = Field(gt=0, description="Largest norm of the gradient; larger gradients are scaled down")

    @model_validator(mode="before")
    @classmethod
    def of_its_kind(cls, values: Any) -> Any:
        """Fill in the defaults of the kind."""
        if not isinstance(values, dict):
            return values
        return {**OPTIMISERS.get(values.get("kind", "adamw"), {}), **values}


class ClippingSettings(Settings):
    """Which labels are trusted.

    Clipping is meant to begin once the network is mostly right. After a fit, the loss is low before it is, so by
    default nothing is clipped then. Otherwise, ``tau`` is 1.2 ln K / ln 21 for K classes, which is the paper's 1.2 for
    21 classes: with fewer classes, guessing has a lower loss, so a fixed ``tau`` would clip an untrained network.
    ``tiles`` of the ``image`` are the paper's; those of the ``batch`` are the released code's, which also counts pixels
    without a label, such as padding, as pixels with a loss of 0.
    """

    tau: float | None = Field(
        None,
        ge=0,
        description="Mean loss above which nothing is clipped; 0: never clip "
        "[0 after a fit and on true masks, else 1.2 ln K / ln 21]",
    )
    tile: Side | None = Field(None, description="Side of a tile in pixels [a quarter of the crop]")
    tiles: Literal["image", "batch"] = Field(
        "image", description="Compare each pixel with the mean of its tile in its own image, or in the whole batch"
    )

    def tau_for(self, classes: int, trusted: bool = False) -> float:
        """Mean loss at which clipping starts; by default, ``trusted`` labels are never clipped."""
        if self.tau is not None:
            return self.tau
        return 0.0 if trusted else PAPER_TAU * math.log(max(classes, 2)) / math.log(PAPER_CLASSES)

    def tile_for(self, crop: int) -> int:
        """Side of a tile for a crop of this side."""
        return self.tile or math.ceil(crop * PAPER_TILE / PAPER_CROP)


class CropSettings(Settings):
    """Random changes to training images."""

    base: Side | None = Field(None, description="Short side of an image at scale 1, in pixels [520 / 480 of the crop]")
    min_scale: float = Field(0.75, gt=0, le=LARGEST_SCALE, description="Smallest random scale")
    max_scale: float = Field(1.5, gt=0, le=LARGEST_SCALE, description="Largest random scale")
    cat_max_ratio: float = Field(0.75, gt=0, le=1, description="Redraw a crop if one class fills this fraction of it")
    flip: float = Field(0.5, ge=0, le=1, description="Probability of mirroring an image")
    distort: float = Field(
        1.0, ge=0, le=1, description="Strength of random brightness, contrast, saturation and hue (three bands only)"
    )

    @model_validator(mode="after")
    def ordered(self) -> CropSettings:
        """Check that the scales are in order."""
        if self.min_scale > self.max_scale:
            raise ValueError("min_scale is above max_scale")
        return self

    def base_for(self, crop: int) -> int:
        """Short side of an image at scale 1, in training and in prediction."""
        return self.base or round(crop * PAPER_BASE / PAPER_CROP)


class SegmentSettings(LoopSettings):
    """Settings of a segmenter's training.

    A vit has the run's backbone. It starts as the run trained it (``run``), from the pretrained weights that the run
    started from (``pretrained``), or from others. Before the first step, its ``linear`` decoder is fitted to the masks,
    on the features of that encoder; a ``mask-transformer``, WeakTr's decoder, starts from random weights.
    Other architectures have an ``encoder``, one of smp's by name or tu-NAME for one of timm's, and start from smp's
    ImageNet weights.
    ``target``: ``hard`` learns the masks, ``soft`` the mask set's scores where its masks are not ignore.
    """

    called: ClassVar[str] = "segment"

    batch_size: BatchSize = Field(4, description="Crops per step and process")
    architecture: str = Field("vit", description="vit, or a network from segmentation-models-pytorch, such as unet")
    backbone: BackboneSettings | None = Field(None, description="the run's own")
    encoder: str | None = Field(None, description="Encoder of other architectures, such as resnet34 [smp's default]")
    weights: Annotated[str, Form("run|pretrained|hub|FILE|none")] | None = Field(
        None, description="Where the encoder starts [run; hub for another backbone or architecture]"
    )
    decoder: Decoder = Field("linear", description="Decoder of a vit: one linear layer, or WeakTr's mask transformer")
    crop: Side | None = Field(None, description="Side of crops and windows in pixels [the run's image size]")
    split: str | None = Field(None, description="Training split of a fully supervised segmenter [the run's]")
    target: Target = Field("hard", description="Learn the masks, or the scores written by masks --scores")
    potts: float = Field(
        0.0, ge=0, le=1e6, description="Weight of the Potts loss, which smooths areas of similar colour"
    )
    optimiser: SegmenterOptimiser = SegmenterOptimiser.parse({})
    clipping: ClippingSettings = ClippingSettings()
    augment: CropSettings = CropSettings()

    @property
    def fits_decoder(self) -> bool:
        """Whether the decoder is fitted before the first step."""
        return self.architecture == "vit" and self.decoder == "linear"

    @property
    def views(self) -> int:
        """Images that all epochs together show; fewer after a fit."""
        return FITTED_VIEWS if self.fits_decoder else super().views

    @field_validator("architecture")
    @classmethod
    def in_small_letters(cls, name: str) -> str:
        """Ignore the case of the name."""
        return name.lower()
