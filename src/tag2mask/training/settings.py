"""All settings of a training run, as stored in ``config.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BeforeValidator, Field

from tag2mask.data.settings import AugmentSettings, DataSettings
from tag2mask.fields import Form
from tag2mask.notation import read_bytes
from tag2mask.settings import BatchSize, Epochs, PretrainedWeights, Rate, Settings
from tag2mask.vit.settings import BackboneSettings, DecayKind


class OptimiserSettings(Settings):
    """AdamW with warm-up and cosine; separate learning rates for pretrained weights, new tokens and heads, and gates.

    ``decay`` may name the backbone's matrices, those of new heads, tokens, position embeddings, and vectors (biases and
    norms); gates never decay. The rate rises from ``start`` and falls to ``final``.
    ``parity`` is explained in ``schedule.released_rate``.
    """

    lr_backbone: Rate = Field(1e-5, description="Learning rate of pretrained weights")
    lr_tokens: Rate = Field(3e-3, description="Learning rate of new tokens and heads")
    lr_heads: Rate | None = Field(
        None, description="Learning rate of heads that can start warm [5e-4 after a warm start, else lr_tokens]"
    )
    lr_gates: Rate = Field(2e-2, description="Learning rate of head gates")
    layer_decay: float = Field(1.0, gt=0, le=1, description="Factor on the backbone's rate per layer towards the input")
    weight_decay: float = Field(0.05, ge=0, le=100, description="Weight decay")
    decay: tuple[DecayKind, ...] = Field(("backbone",), description="Kinds of parameters that weight decay applies to")
    warmup: float = Field(0.1, ge=0, lt=1, description="Fraction of all steps over which the rate rises")
    start: float = Field(0.0, ge=0, le=1, description="Initial rate, as a fraction of the base rate")
    final: float = Field(0.01, ge=0, le=1, description="Final rate, as a fraction of the base rate")
    parity: bool = Field(False, description="Schedule rates like the released code of MCTformer and WeakTr")
    clip: float | None = Field(5.0, gt=0, description="Largest norm of the gradient; larger gradients are scaled down")


VIEWS, FEWEST_EPOCHS, MOST_EPOCHS = 4400, 5, 50  # of a training whose epochs are not set
FIRST_PART, HARD_AP = 3, 0.8  # tags are hard if their AP is below this after a third of the epochs
MORE = 0.6  # epochs to add then, as a fraction of the others


def epochs_for(views: int, images: int, fewest: int = 1) -> int:
    """Number of epochs in which ``images`` images are shown about ``views`` times in total, at most ``MOST_EPOCHS``."""
    return min(max(round(views / max(images, 1)), fewest), MOST_EPOCHS)


Precision = Literal["auto", "fp32", "bf16", "fp16"]


def require_memory(memory: Any) -> Any:
    """Check that an amount of memory has a unit."""
    if isinstance(memory, str):
        read_bytes(memory)
    elif memory is not None:
        raise ValueError(f"expected a unit, such as {memory}GB")
    return memory


Memory = Annotated[str, BeforeValidator(require_memory), Form("SIZE")]


class LoopSettings(Settings):
    """Settings shared by all trainings. If ``epochs`` is not set, 5 to 50 epochs show about ``views`` images."""

    epochs: Epochs = Field(10, description="Passes over the images [5 to 50, depending on their number]")
    batch_size: BatchSize = Field(8, description="Images per step and process")
    accumulate: BatchSize = Field(1, description="Batches whose gradients are accumulated before a step")
    seed: int = Field(0, ge=0, description="Random seed")
    precision: Precision = Field("auto", description="Floating-point precision")
    workers: int = Field(0, ge=0, le=128, description="Processes that read images; 0: read in the training process")
    save_minutes: float = Field(2.0, ge=0, description="Minutes between saved states")
    memory: Memory | None = Field(
        None, description="Memory to use, such as 8GB: a batch that needs more is computed in parts [all there is]"
    )

    @property
    def views(self) -> int:
        """Images that all epochs together show."""
        return VIEWS

    def for_epochs(self, epochs: int) -> dict[str, int]:
        """Return the settings that follow from this number of epochs, if it was not set."""
        return {"epochs": epochs}


S = TypeVar("S", bound=LoopSettings)


def with_epochs(settings: S, images: int) -> S:
    """Set the epochs from the number of images, unless they were set."""
    if "epochs" in settings.model_fields_set:
        return settings
    return settings.model_copy(update=settings.for_epochs(epochs_for(settings.views, images, FEWEST_EPOCHS)))


class TrainSettings(LoopSettings):
    """Settings of a training run."""

    called: ClassVar[str] = "train"
    moved: ClassVar[Mapping[str, str]] = {"method.*": "method_settings.*"}

    data: DataSettings = DataSettings()
    backbone: BackboneSettings = BackboneSettings()
    method: str = Field(
        "attended-dynamic",
        description="Method, such as attended-dynamic, tokenmasking, mctformer-v2, weaktr or linear",
    )
    method_settings: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the method, also given as method.KEY [the method's]"
    )
    weights: PretrainedWeights = Field("hub", description="Pretrained weights")
    split: str = Field("train", description="Images to learn from")
    val_split: str | None = Field("val", description="Images to validate on")
    warm_start: bool = Field(
        False, description="Fit the head to the pretrained features first; learns tags sooner, but maps may be worse"
    )
    optimiser: OptimiserSettings = OptimiserSettings()
    augment: AugmentSettings = AugmentSettings()
    patience: int = Field(
        0, ge=0, description="Stop after this many epochs without a better validation AP; 0: train all epochs"
    )
    more_epochs: int = Field(
        0,
        ge=0,
        description=f"Epochs to add if the tags are hard, with a validation AP below {HARD_AP} after a third of the "
        "epochs [six for ten where the epochs are not set]",
    )
    keep_epochs: int = Field(0, ge=0, description="Also keep the weights of every Nth epoch; 0: only the best")

    def for_epochs(self, epochs: int) -> dict[str, int]:
        """Return the number of epochs and, unless it was set, how many to add if the tags are hard."""
        more = self.more_epochs if "more_epochs" in self.model_fields_set else round(MORE * epochs)
        return {"epochs": epochs, "more_epochs": more}


WARM_RATE = 5e-4  # of a fitted head: a higher rate would undo the fit


def with_heads_rate(settings: TrainSettings) -> TrainSettings:
    """Return the settings with ``lr_heads`` set."""
    own = settings.optimiser
    rate = own.lr_heads or (WARM_RATE if settings.warm_start else own.lr_tokens)
    return settings.model_copy(update={"optimiser": own.model_copy(update={"lr_heads": rate})})
