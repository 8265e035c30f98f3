"""What can be chosen in ToCo."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from tag2mask.settings import Settings

Share = Annotated[float, Field(gt=0, le=1)]


class ToCoSettings(Settings):
    """ToCo; the README says which values are the paper's.

    ``auxiliary_layer``, counted from 1, feeds the auxiliary classifier; None is five sixths of the way up, 10 of 12.
    Its class map, 1 at its peak, makes a patch foreground from ``high`` on and background up to ``low``.
    ``patch_contrast`` and ``class_contrast`` weigh the two contrasts; both are off for the first ``warmup`` of all
    steps. ``crops`` local crops an image are ``crop_side`` pixels wide, rounded to whole patches, and show a share of
    the image within ``crop_scale``. ``temperature`` divides the similarity of class tokens; ``momentum`` is that of the
    averaged projector.
    """

    auxiliary_layer: int | None = Field(None, ge=1)
    high: float = Field(0.7, gt=0, le=1)
    low: float = Field(0.25, ge=0, lt=1)
    patch_contrast: float = Field(0.2, ge=0)
    class_contrast: float = Field(0.5, ge=0)
    warmup: float = Field(0.1, ge=0, le=1)
    crops: int = Field(4, ge=1, le=64)
    crop_side: int = Field(96, ge=1, le=4096)
    crop_scale: tuple[Share, Share] = (0.05, 0.2)
    temperature: float = Field(0.5, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)

    @model_validator(mode="after")
    def ordered(self) -> ToCoSettings:
        """Of two thresholds and of two scales the second name is the larger."""
        if self.low >= self.high:
            raise ValueError(f"low is {self.low}, it has to be below high, {self.high}")
        if self.crop_scale[0] > self.crop_scale[1]:
            raise ValueError("crop_scale wants the smaller share first")
        return self
