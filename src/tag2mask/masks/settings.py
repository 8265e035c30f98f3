"""How class maps become masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tag2mask.errors import SettingsError
from tag2mask.inference.settings import LookSettings
from tag2mask.notation import from_word
from tag2mask.presets import read_preset
from tag2mask.refine.settings import RefineSettings
from tag2mask.settings import Settings, assign, merge, put

BACKGROUND_WORDS = ("mean", "otsu", "agreement")
SHARE_EPS = 1e-9  # beside the sum of all classes' maps: where all are 0, all shares are


def share(threshold: Any) -> Any:
    """A threshold that is a number is a share of the normalised map."""
    if threshold in ("mean", "otsu") or (isinstance(threshold, int | float) and 0 <= threshold <= 1):
        return threshold
    raise ValueError("wanted mean, otsu or a number from 0 to 1")


Threshold = Annotated[Literal["mean", "otsu"] | float, BeforeValidator(share)]


class BackgroundSettings(Settings):
    """Where no class is.

    ``none``: every pixel gets a class. ``threshold``: a pixel is background where the best map is below ``value``, a
    share of its range, its own ``mean`` or Otsu's threshold, or by ``agreement`` the share at which two views of the
    images agree best. ``power``: background scores (1 - max map) ** ``value`` and competes with the maps.
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


class PaintSettings(Settings):
    """How class maps become a label image.

    ``rule``: ``argmax`` gives a pixel to the class whose normalised map is highest; ``ordered`` is TokenMasking's
    way: every map is cut at ``threshold`` and painted, classes from the lowest to the highest logit, and what stays
    bare gets the nearest paint.
    ``relative`` turns maps into each class's share of all classes' maps at a patch, M_c / sum_c' M_c'; None: just where
    the classes have no background, since shares say nothing about patches that belong to no class.
    ``background`` counts only where the classes have one. ``class_thresholds`` are those of single classes, by name;
    they go before ``threshold`` and before the background's. Pixels whose class is less likely than ``unsure`` become
    ignore.
    """

    rule: Literal["argmax", "ordered"] = "argmax"
    relative: bool | None = None
    threshold: Threshold = "mean"
    class_thresholds: dict[str, Threshold] = Field(default_factory=dict)
    background: BackgroundSettings = BackgroundSettings()
    unsure: float | None = Field(None, ge=0, le=1)

    @model_validator(mode="after")
    def compares(self) -> PaintSettings:
        """Where classes are painted over each other nothing says how likely they are; a power is no threshold."""
        if self.rule == "ordered" and self.unsure is not None:
            raise ValueError("rule: ordered compares no scores: leave it out, or unsure")
        if self.class_thresholds and self.background.policy == "power":
            raise ValueError("class_thresholds: the policy power has no thresholds")
        return self


# Keys of version 0.1.
REFINE_KEYS = {
    "refine": "refine.names",
    "refine_side": "refine.side",
    "crf": "refine.crf",
    "crf_engine": "refine.crf_engine",
}
LOOK_KEYS = {name: f"look.{name}" for name in ("scales", "flip", "side", "max_patches", "batch_size")}
PAINT_KEYS = {"paint": "paint.rule"} | {
    name: f"paint.{name}" for name in ("relative", "threshold", "class_thresholds", "background", "unsure")
}


class MaskSettings(Settings):
    """A mask set's settings.

    ``method`` changes settings of the run's method that its weights do not depend on, such as ``map_layers``.
    ``scores`` also writes how likely each class of an image is, for segmenters that learn soft labels.
    """

    moved: ClassVar[Mapping[str, str]] = {
        **LOOK_KEYS,
        **REFINE_KEYS,
        "edges": "look.edges",
        "probe": "refine.probe",
        "walk": "refine.walk",
        **PAINT_KEYS,
    }

    split: str = "train"
    tags: Literal["given", "predicted"] = "given"
    method: dict[str, Any] = Field(default_factory=dict)
    look: LookSettings = LookSettings()
    refine: RefineSettings = RefineSettings()
    paint: PaintSettings = PaintSettings()
    scores: bool = False

    @model_validator(mode="after")
    def compares(self) -> MaskSettings:
        """Scores exist where classes compete."""
        if self.paint.rule == "ordered" and self.scores:
            raise ValueError("paint.rule: ordered compares no scores: leave it out, or scores")
        return self


def with_paint(settings: MaskSettings, **changes: Any) -> MaskSettings:
    """The settings with changes of how maps are painted."""
    return settings.model_copy(update={"paint": settings.paint.model_copy(update=changes)})


def read_mask_settings(
    options: Mapping[str, Any], assignments: Sequence[str], preset: str | None = None
) -> MaskSettings:
    """A preset, then options by dotted setting, then ``KEY=VALUE`` assignments.

    An option ``threshold`` is a text, and also moves the background's: ``0.1``, or with commas ``0.1,cow=0.2``.

    Raises:
        SettingsError: there is no such preset, or a setting is unknown or wrong.
    """
    values = {} if preset is None else read_preset(preset).masks
    for key, value in options.items():
        if key == "threshold":
            merge(values, {"paint": thresholds(str(value))})
        else:
            put(values, MaskSettings.key_now(key), value)
    return MaskSettings.parse(assign(values, assignments, MaskSettings), where="masks")


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
