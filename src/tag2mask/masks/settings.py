"""Settings of painting: how class maps become masks."""

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
SHARE_EPS = 1e-9  # added to the sum of all classes' maps: where all are 0, all shares are 0


def require_share(threshold: Any) -> Any:
    """Check a threshold: a word, or a fraction of the normalised map's range."""
    if threshold in ("mean", "otsu") or (isinstance(threshold, int | float) and 0 <= threshold <= 1):
        return threshold
    raise ValueError("expected mean, otsu or a number from 0 to 1")


Threshold = Annotated[Literal["mean", "otsu"] | float, BeforeValidator(require_share)]


class BackgroundSettings(Settings):
    """How background is found.

    ``none``: every pixel gets a class. ``threshold``: a pixel is background where the best map is below ``value``,
    which is a fraction of the map's range, its own ``mean``, its threshold by ``otsu``, or with ``agreement`` the
    fraction at which two views of the images agree best. ``power``: the background's score is
    (1 - max map) ** ``value`` and competes with the maps.
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
        """Check that a number is above 0."""
        if value in BACKGROUND_WORDS or (isinstance(value, int | float) and value > 0):
            return value
        raise ValueError(f"expected {', '.join(BACKGROUND_WORDS)} or a number above 0")

    @model_validator(mode="after")
    def fits(self) -> BackgroundSettings:
        """Check that a power is a number."""
        if self.policy == "power" and not isinstance(self.value, float):
            raise ValueError("the policy power needs a number as value")
        return self


class PaintSettings(Settings):
    """How class maps become a label image.

    ``rule``: ``argmax`` gives a pixel to the class with the highest normalised map. ``ordered`` is TokenMasking's rule:
    every map is cut at ``threshold`` and painted, from the lowest to the highest logit. Pixels that stay bare become
    background; if no background is kept, they get the nearest label.
    ``tag_threshold``: an image has the predicted tags whose probability, the sigmoid of the logit, is above it.
    ``relative``: M_c / sum_c' M_c' at a patch. Such a share carries no information at patches that show no class.
    ``background`` applies only if the classes have one. ``class_thresholds`` override ``threshold`` and the
    background's threshold.
    """

    rule: Literal["argmax", "ordered"] = Field(
        "argmax", description="Give a pixel to the highest map, or paint classes in order"
    )
    tag_threshold: float | None = Field(
        None, gt=0, lt=1, description="Probability above which a tag is predicted [the run's, from its validation tags]"
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
        """Check that thresholds and ``unsure`` fit the rule and the policy."""
        if self.rule == "ordered" and self.unsure is not None:
            raise ValueError("the rule ordered compares no scores: choose either rule=ordered or unsure")
        if (
            self.rule == "argmax"
            and "threshold" in self.model_fields_set
            and "value" not in self.background.model_fields_set
        ):
            raise ValueError("threshold applies to the rule ordered alone; set background.value, or --threshold")
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
    """Return a setting of the method that only affects how maps are read from a trained run."""
    return {f"method.{name}": from_word(word)}


def thresholds(text: str) -> dict[str, Any]:
    """Parse ``0.1,cow=0.2,sky=otsu``: a general threshold, and thresholds of single classes.

    Raises:
        SettingsError: the general threshold is invalid.
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
                f"--threshold {part}: expected {', '.join(BACKGROUND_WORDS)} or a number above 0, at most 1"
            )
        values["paint.background.value"] = general
        if general != "agreement":  # it applies to the background only, not to the rule ordered
            values["paint.threshold"] = general
    return {**values, "paint.class_thresholds": own} if own else values


class MaskSettings(Settings):
    """Settings of a mask set."""

    called: ClassVar[str] = "masks"
    moved: ClassVar[Mapping[str, str]] = {
        **LOOK_KEYS,
        **REFINE_KEYS,
        "edges": "look.edges",
        "probe": "refine.probe",
        "walk": "refine.walk",
        "segmenter": "refine.segmenter",
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
        """Check that the rule produces scores if they are to be written."""
        if self.paint.rule == "ordered" and self.scores:
            raise ValueError("the rule ordered compares no scores: choose either paint.rule=ordered or scores")
        return self


def with_paint(settings: MaskSettings, **changes: Any) -> MaskSettings:
    """Return the settings with changed paint settings."""
    return settings.model_copy(update={"paint": settings.paint.model_copy(update=changes)})
