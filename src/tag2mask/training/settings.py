"""Everything that decides a training run; what ``config.yaml`` holds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field

from tag2mask.data.settings import DataSettings
from tag2mask.data.transforms import AugmentSettings
from tag2mask.presets import read_preset
from tag2mask.settings import BatchSize, Epochs, Rate, Settings, assign, merge, put, read_yaml
from tag2mask.vit.groups import DecayKind
from tag2mask.vit.settings import BackboneSettings

METHOD = re.compile(r"^\s*method\.")  # method.KEY=VALUE is a setting of the method itself


class OptimiserSettings(Settings):
    """AdamW with warm-up and cosine; one learning rate each for pretrained weights, new tokens and heads, and gates.

    ``lr_heads`` is for heads that may start warm; None is 5e-4 after a warm start, which a higher rate would undo, and
    ``lr_tokens`` without one.
    ``layer_decay`` multiplies the backbone's rate once for every layer below the last. ``weight_decay`` works on the
    kinds of parameters in ``decay``: the backbone's matrices, those of new heads, tokens, position embeddings, and
    vectors (biases and norms); never on gates. The rate rises from ``start`` and falls to ``final``, both as shares of
    the base rate. ``parity`` keeps what MCTformer's and WeakTr's released code does with it: see ``schedule.released``.
    """

    lr_backbone: Rate = 1e-5
    lr_tokens: Rate = 3e-3
    lr_heads: Rate | None = None
    lr_gates: Rate = 2e-2
    layer_decay: float = Field(1.0, gt=0, le=1)
    weight_decay: float = Field(0.05, ge=0, le=100)
    decay: tuple[DecayKind, ...] = ("backbone",)
    warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps")
    start: float = Field(0.0, ge=0, le=1)
    final: float = Field(0.01, ge=0, le=1)
    parity: bool = False
    clip: float | None = Field(5.0, gt=0, description="largest gradient norm")


VIEWS, FEWEST_EPOCHS, MOST_EPOCHS = 4400, 5, 50  # of a training whose epochs nobody set


def epochs_for(views: int, images: int, fewest: int = 1) -> int:
    """Epochs in which about so many ``views`` of all ``images`` are seen, ``MOST_EPOCHS`` at most."""
    return min(max(round(views / max(images, 1)), fewest), MOST_EPOCHS)


class LoopSettings(Settings):
    """What every training has.

    Unless they are set, the ``epochs`` follow from the number of images: as many as show 4,400 of them, 5 to 50.
    """

    epochs: Epochs = 10
    batch_size: BatchSize = 8
    accumulate: BatchSize = 1
    seed: int = Field(0, ge=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    workers: int = Field(0, ge=0, le=128)
    save_minutes: float = Field(2.0, ge=0)


S = TypeVar("S", bound=LoopSettings)


def with_epochs(settings: S, images: int) -> S:
    """The settings with as many epochs as so many images need, unless they were set."""
    if "epochs" in settings.model_fields_set:
        return settings
    return settings.model_copy(update={"epochs": epochs_for(VIEWS, images, FEWEST_EPOCHS)})


class TrainSettings(LoopSettings):
    """A training run. ``method_settings`` are checked by the method's own settings class.

    ``warm_start`` fits the head to the pretrained backbone's features before the first step: tags are known sooner, but
    class maps may be worse (the README of ``attended``).
    ``keep_epochs=N`` also keeps the weights of every Nth epoch; 0 keeps only the best.
    """

    data: DataSettings = DataSettings()
    backbone: BackboneSettings = BackboneSettings()
    method: str = "attended"
    method_settings: dict[str, Any] = Field(default_factory=dict)
    weights: str = "hub"
    split: str = "train"
    val_split: str | None = "val"
    warm_start: bool = False
    optimiser: OptimiserSettings = OptimiserSettings()
    augment: AugmentSettings = AugmentSettings()
    keep_epochs: int = Field(0, ge=0)


WARM_RATE = 5e-4  # of a fitted head: more would undo the fit


def with_heads_rate(settings: TrainSettings) -> TrainSettings:
    """The settings with ``lr_heads`` decided."""
    own = settings.optimiser
    rate = own.lr_heads or (WARM_RATE if settings.warm_start else own.lr_tokens)
    return settings.model_copy(update={"optimiser": own.model_copy(update={"lr_heads": rate})})


def read_settings(
    config: Path | None, assignments: Sequence[str], named: Mapping[str, Any], preset: str | None = None
) -> TrainSettings:
    """Defaults, then a preset, then a YAML file, then named options, then ``KEY=VALUE`` assignments.

    Raises:
        SettingsError: there is no such preset, the file cannot be read, an assignment has no ``=``, or a setting is
            unknown or wrong.
    """
    values = {} if preset is None else read_preset(preset).train
    if config is not None:
        merge(values, read_yaml(config))
    for key, value in named.items():
        put(values, key, value)
    assign(values, [METHOD.sub("method_settings.", assignment) for assignment in assignments])
    return TrainSettings.parse(values, where=str(config) if config else "settings")
