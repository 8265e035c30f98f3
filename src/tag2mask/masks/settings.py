"""How class maps become masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tag2mask.data.resizing import Edges, LookSide
from tag2mask.errors import SettingsError
from tag2mask.masks.crf_settings import CRFConstants, CRFEngine, CRFSettings
from tag2mask.notation import from_word
from tag2mask.presets import read_preset
from tag2mask.settings import BatchSize, Patches, Scales, Settings, Side, assign, merge

BACKGROUND_WORDS = ("mean", "otsu", "agreement")
SHARE_EPS = 1e-9  # beside the sum of all classes' maps: where all are 0, all shares are


def share(threshold: Any) -> Any:
    """A threshold that is a number is a share of the normalised map."""
    if threshold in ("mean", "otsu") or (isinstance(threshold, int | float) and 0 <= threshold <= 1):
        return threshold
    raise ValueError("wanted mean, otsu or a number from 0 to 1")


def chain(refine: Any) -> Any:
    """A text with commas is a list of refiners, ``none`` an empty one."""
    if isinstance(refine, str):
        return tuple(name.strip() for name in refine.split(",") if name.strip() not in ("", "none"))
    return refine


Threshold = Annotated[Literal["mean", "otsu"] | float, BeforeValidator(share)]
Refiners = Annotated[tuple[str, ...], BeforeValidator(chain)]


class BackgroundSettings(Settings):
    """Where no class is.

    ``none``: every pixel gets a class. ``threshold``: a pixel is background where the best map is below ``value``, a
    share of its range, its own ``mean`` or Otsu's threshold, or by ``agreement`` the share at which two views of the
    photographs agree best. ``power``: background scores (1 - max map) ** ``value`` and competes with the maps.
    ``agreement`` is the kappa of the two views, if they chose ``value``; ``tuned_on`` names the split whose truth did.
    """

    policy: Literal["none", "threshold", "power"] = "threshold"
    value: Literal["mean", "otsu", "agreement"] | float = 0.1
    agreement: float | None = None
    tuned_on: str | None = None

    @field_validator("value", mode="before")
    @classmethod
    def above_nothing(cls, value: Any) -> Any:
        """A number is above 0."""
        if value in BACKGROUND_WORDS or (isinstance(value, int | float) and value > 0):
            return value
        raise ValueError(f"wanted {', '.join(BACKGROUND_WORDS)} or a number above 0")

    @model_validator(mode="after")
    def fits(self) -> BackgroundSettings:
        """A power is a number."""
        if self.policy == "power" and not isinstance(self.value, float):
            raise ValueError("the policy power wants a number as value")
        return self


class MaskSettings(Settings):
    """A mask set's settings.

    ``paint``: ``argmax`` gives a pixel to the class whose normalised map is highest; ``ordered`` is TokenMasking's
    way: every map is cut at ``threshold`` and painted, classes from the lowest to the highest logit, and what stays
    bare gets the nearest paint. ``side`` is the short side of images at scale 1: a number of pixels,
    ``own`` for each image's own, rounded to whole patches, or the run's image size if None. Sides
    that are no whole number of patches are filled up (``edges: pad``), or the rest is left out and the maps are
    stretched over it (``drop``, as released code does; ``own`` is not rounded then).
    Images of more than ``max_patches`` patches at a scale are looked at in tiles.
    ``method`` changes settings of the run's method that its weights do not depend on, such as ``map_layers``.
    ``relative`` turns maps into each class's share of all classes' maps at a patch, M_c / sum_c' M_c'; None: just where
    the classes have no background, since shares say nothing about patches that belong to no class.
    ``refine`` names refiners in their order; those on pixels see the photograph with a long side of at most
    ``refine_side``. ``probe`` and ``walk`` are the folders that ``train-probe`` and ``refine-train`` wrote, for the
    refiners of these names.
    ``background`` counts only where the classes have one. ``class_thresholds`` are those of single classes, by name;
    they go before ``threshold`` and before the background's.
    ``scores`` also writes how likely each class of an image is, for segmenters that learn soft labels. Pixels whose
    class is less likely than ``unsure`` become ignore.
    """

    split: str = "train"
    tags: Literal["given", "predicted"] = "given"
    scales: Scales = (1.0,)
    flip: bool = False
    method: dict[str, Any] = Field(default_factory=dict)
    relative: bool | None = None
    refine: Refiners = ()
    refine_side: Side = 640
    crf: CRFConstants = CRFSettings()
    crf_engine: CRFEngine = "torch"
    probe: str | None = None
    walk: str | None = None
    paint: Literal["argmax", "ordered"] = "argmax"
    threshold: Threshold = "mean"
    class_thresholds: dict[str, Threshold] = Field(default_factory=dict)
    background: BackgroundSettings = BackgroundSettings()
    side: LookSide = None
    edges: Edges = "pad"
    batch_size: BatchSize = 8
    max_patches: Patches = 4096
    scores: bool = False
    unsure: float | None = Field(None, ge=0, le=1)

    @model_validator(mode="after")
    def compares(self) -> MaskSettings:
        """Where classes are painted over each other nothing says how likely they are."""
        if self.paint == "ordered" and (self.scores or self.unsure is not None):
            raise ValueError("paint: ordered compares no scores: leave it out, or scores and unsure")
        return self

    @model_validator(mode="after")
    def without_power(self) -> MaskSettings:
        """The power of a background is no threshold."""
        if self.class_thresholds and self.background.policy == "power":
            raise ValueError("class_thresholds: the policy power has no thresholds")
        return self


def read_mask_settings(
    options: Mapping[str, Any], assignments: Sequence[str], preset: str | None = None
) -> MaskSettings:
    """A preset, then options as the command line gives them, then ``KEY=VALUE`` assignments.

    A ``threshold`` may be a text with commas, and also moves the background's: ``0.1,cow=0.2``.

    Raises:
        SettingsError: there is no such preset, or a setting is unknown or wrong.
    """
    chosen = dict(options)
    if "threshold" in chosen:
        chosen |= thresholds(str(chosen.pop("threshold")))
    values = {} if preset is None else read_preset(preset).masks
    merge(values, chosen)
    return MaskSettings.parse(assign(values, assignments), where="masks")


def thresholds(text: str) -> dict[str, Any]:
    """The settings that ``0.1,cow=0.2,sky=otsu`` stands for: a general threshold, and those of single classes.

    Raises:
        SettingsError: the general threshold is none.
    """
    values: dict[str, Any] = {"class_thresholds": {}}
    for part in text.split(","):
        name, equals, own = part.rpartition("=")
        if equals:
            values["class_thresholds"][name.strip()] = from_word(own)
            continue
        general = from_word(part)
        if general not in BACKGROUND_WORDS and not (isinstance(general, int | float) and 0 < general <= 1):
            raise SettingsError(
                f"--threshold {part}: wanted {', '.join(BACKGROUND_WORDS)} or a number above 0, 1 at most"
            )
        values["background"] = {"value": general}
        if general != "agreement":  # between views of what is background: nothing to paint in order by
            values["threshold"] = general
    return values
