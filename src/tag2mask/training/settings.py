"""Everything that decides a training run; what ``config.yaml`` holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field

from tag2mask.data.settings import DataSettings
from tag2mask.data.transforms import AugmentSettings
from tag2mask.errors import SettingsError
from tag2mask.settings import Settings
from tag2mask.vit.settings import BackboneSettings

METHOD_PREFIX = "method."


class OptimiserSettings(Settings):
    """AdamW with warm-up and cosine; one learning rate each for pretrained weights, new tokens and heads, and gates.

    ``layer_decay`` multiplies the backbone's rate once for every layer below the last.
    """

    lr_backbone: float = Field(1e-5, gt=0)
    lr_tokens: float = Field(3e-3, gt=0)
    lr_gates: float = Field(2e-2, gt=0)
    layer_decay: float = Field(1.0, gt=0, le=1)
    weight_decay: float = Field(0.05, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps")
    final: float = Field(0.01, ge=0, le=1, description="last rate over the first")
    clip: float = Field(5.0, gt=0, description="largest gradient norm")


class TrainSettings(Settings):
    """A training run. ``method_settings`` are checked by the method's own settings class."""

    data: DataSettings = DataSettings()
    backbone: BackboneSettings = BackboneSettings()
    method: str = "tokenmasking"
    method_settings: dict[str, Any] = Field(default_factory=dict)
    weights: str = "hub"
    split: str = "train"
    val_split: str | None = "val"
    epochs: int = Field(10, gt=0)
    batch_size: int = Field(8, gt=0)
    accumulate: int = Field(1, gt=0)
    seed: int = Field(0, ge=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    optimiser: OptimiserSettings = OptimiserSettings()
    augment: AugmentSettings = AugmentSettings()
    workers: int = Field(0, ge=0)
    save_minutes: float = Field(2.0, ge=0)

    def weights_source(self) -> Literal["hub", "none"] | Path:
        """Where the pretrained weights come from."""
        match self.weights:
            case "hub":
                return "hub"
            case "none":
                return "none"
        return Path(self.weights)


def read_settings(config: Path | None, assignments: Sequence[str], named: Mapping[str, Any]) -> TrainSettings:
    """Defaults, then a YAML file, then named options, then ``KEY=VALUE`` assignments.

    Raises:
        SettingsError: the file cannot be read, an assignment has no ``=``, or a setting is unknown or wrong.
    """
    values: dict[str, Any] = {}
    if config is not None:
        values = read_yaml(config)
    for key, value in named.items():
        put(values, key, value)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment}: wanted KEY=VALUE, such as optimiser.lr_tokens=1e-3")
        put(values, key.strip(), parse_value(text))
    return TrainSettings.parse(values, where=str(config) if config else "settings")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: holds no settings; wanted lines such as epochs: 8")
    return content


def put(values: dict[str, Any], key: str, value: object) -> None:
    """Set a dotted key; ``method.KEY`` is a setting of the method itself."""
    if key.startswith(METHOD_PREFIX):
        key = "method_settings." + key.removeprefix(METHOD_PREFIX)
    *path, last = key.split(".")
    for part in path:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"setting {key}: {part} is a value, not a group")
        values = inner
    values[last] = value


def parse_value(text: str) -> object:
    """A number, true, false, null, a list or a string, as YAML reads it; 1e-3 is a number too."""
    try:
        return float(text) if "e" in text.lower() and text.strip()[:1] in "0123456789.-+" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return text
