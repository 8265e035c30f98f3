"""How class maps become masks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tag2mask.errors import SettingsError
from tag2mask.fields import Form
from tag2mask.inference.settings import LookSettings
from tag2mask.notation import from_word
from tag2mask.refine.settings import RefineSettings
from tag2mask.settings import Settings, Shorthand

BACKGROUND_WORDS = ("mean", "otsu", "agreement")
SHARE_EPS = 1e-9  # beside the sum of all classes' maps: where all are 0, all shares are


def require_share(threshold: Any) -> Any:
    """A threshold that is a number is a share of the normalised map."""
    if threshold in ("mean", "otsu") or (isinstance(threshold, int | float) and 0 <= threshold <= 1):
        return threshold
    raise ValueError("wanted mean, otsu or a number from 0 to 1")


Threshold = Annotated[Literal["mean", "otsu"] | float, BeforeValidator(require_share)]


class BackgroundSettings(Settings):
    """Where no class is.

    ``none``: every pixel gets a class. ``threshold``: a pixel is background where the best map is below ``value``, a
    share of its range, its own ``mean`` or Otsu's threshold, or by ``agreement`` the share at which two views of the
    images agree best. ``power``: background scores (1 - max map) ** ``value`` and competes with the maps.
    """

    policy: Literal["none", "threshold", "power"] = Field("threshold", description="How background is decided")
    value: Literal["mean", "otsu", "agreement"] | float = Field(
        0.1, description="Threshold of the background, or its power"
    )
    agreement: float | None = Field(None, description="Kappa of the two views that chose the value [written by masks]")
    tuned_on: str | None = Field(None, description="Split whose true masks chose the value [written by masks]")

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
    ``relative``: M_c / sum_c' M_c' at a patch. Shares say nothing about patches that belong to no class.
    ``background`` counts only where the classes have one. ``class_thresholds`` go before ``threshold`` and before the
    background's.
    """

    rule: Literal["argmax", "ordered"] = Field(
        "argmax", description="Give a pixel to the highest map, or paint classes in order"
    )
    relative: bool | None = Field(
        None, description="Divide each class's map by the sum over all classes [if there is no background]"
    )
    threshold: Threshold = Field("mean", description="Where the rule ordered cuts maps, as a fraction of their range")
    class_thresholds: dict[str, Threshold] = Field(
        default_factory=dict, description="Thresholds of single classes, by name [none]"
    )
    background: BackgroundSettings = BackgroundSettings()
    unsure: Annotated[float, Form("SHARE")] | None = Field(
        None, ge=0, le=1, description="Ignore pixels whose class is less likely than this, 0 to 1"
    )

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


def readout(name: str, word: str) -> dict[str, Any]:
    """A setting of the method that decides how a trained run is read."""
    return {f"method.{name}": from_word(word)}


def thresholds(text: str) -> dict[str, Any]:
    """The settings that ``0.1,cow=0.2,sky=otsu`` stands for: a general threshold, and those of single classes.

    Raises:
        SettingsError: the general threshold is none.
    """
    values: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, word = part.rpartition("=")
        if equals:
            own[name.strip()] = from_word(word)
            continue
        general = from_word(part)
        if general not in BACKGROUND_WORDS and not (isinstance(general, int | float) and 0 < general <= 1):
            raise SettingsError(
                f"--threshold {part}: wanted {', '.join(BACKGROUND_WORDS)} or a number above 0, 1 at most"
            )
        values["paint.background.value"] = general
        if general != "agreement":  # between views of what is background: nothing to paint in order by
            values["paint.threshold"] = general
    return {**values, "paint.class_thresholds": own} if own else values


class MaskSettings(Settings):
    """A mask set's settings."""

    called: ClassVar[str] = "masks"
    moved: ClassVar[Mapping[str, str]] = {
        **LOOK_KEYS,
        **REFINE_KEYS,
        "edges": "look.edges",
        "probe": "refine.probe",
        "walk": "refine.walk",
        **PAINT_KEYS,
    }

    shorthands: ClassVar[Mapping[str, Shorthand]] = {
        "threshold": Shorthand(
            "NUMBER|mean|otsu|agreement",
            "Where maps are cut off and background begins; 0.1,cow=0.2 sets a single class [0.1]",
            thresholds,
        ),
        "layers": Shorthand(
            "K", "Use the attention of the last K layers for maps [the method's]", partial(readout, "map_layers")
        ),
        "heads": Shorthand(
            "open|all", "Heads used for maps, if they are gated [the method's]", partial(readout, "heads")
        ),
    }

    split: str = Field("train", description="Split of the images, or all")
    tags: Literal["given", "predicted"] = Field(
        "given", description="Paint the given tags, or those that the run predicts"
    )
    method: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the run's method that do not affect its weights [the run's]"
    )
    look: LookSettings = LookSettings()
    refine: RefineSettings = RefineSettings()
    paint: PaintSettings = PaintSettings()
    scores: bool = Field(False, description="Also write how likely each class is, for segment --target soft")

    @model_validator(mode="after")
    def compares(self) -> MaskSettings:
        """Scores exist where classes compete."""
        if self.paint.rule == "ordered" and self.scores:
            raise ValueError("paint.rule: ordered compares no scores: leave it out, or scores")
        return self


def with_paint(settings: MaskSettings, **changes: Any) -> MaskSettings:
    """The settings with changes of how maps are painted."""
    return settings.model_copy(update={"paint": settings.paint.model_copy(update=changes)})
