"""Settings of ToCo."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from tag2mask.settings import Settings

Share = Annotated[float, Field(gt=0, le=1)]


class ToCoSettings(Settings):
    """Settings of ToCo; the README states which values come from the paper."""

    auxiliary_layer: int | None = Field(
        None, ge=1, description="Block that feeds the auxiliary classifier [at five sixths of the depth]"
    )
    high: float = Field(0.7, gt=0, le=1, description="Auxiliary map value from which a patch is foreground")
    low: float = Field(0.25, ge=0, lt=1, description="Auxiliary map value up to which a patch is background")
    patch_contrast: float = Field(0.2, ge=0, description="Weight of the patch-token contrast")
    class_contrast: float = Field(0.5, ge=0, description="Weight of the class-token contrast")
    warmup: float = Field(0.1, ge=0, le=1, description="Fraction of all steps before both contrasts begin")
    crops: int = Field(4, ge=1, le=64, description="Local crops per image")
    crop_side: int = Field(96, ge=1, le=4096, description="Side of local crops in pixels, rounded to whole patches")
    crop_scale: tuple[Share, Share] = Field(
        (0.05, 0.2), description="Range of the fraction of the image area that a local crop shows"
    )
    temperature: float = Field(0.5, gt=0, description="Temperature that divides the similarity of class tokens")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of the projector's moving average")

    @model_validator(mode="after")
    def ordered(self) -> ToCoSettings:
        """Check that ``low`` is below ``high`` and that the scales are in ascending order."""
        if self.low >= self.high:
            raise ValueError(f"low is {self.low}, but must be below high, {self.high}")
        if self.crop_scale[0] > self.crop_scale[1]:
            raise ValueError("crop_scale: give the smaller fraction first")
        return self
