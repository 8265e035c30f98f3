"""What every settings class shares: frozen, and an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from tag2mask.errors import SettingsError


def positive(scales: tuple[float, ...]) -> tuple[float, ...]:
    """At least one scale, all above 0."""
    if not scales or min(scales) <= 0:
        raise ValueError("wanted one scale or more, all above 0")
    return scales


def listed(scales: Any) -> Any:
    """A text with commas is a list of scales, and a number one of one."""
    if isinstance(scales, str):
        return [parse_value(scale) for scale in scales.split(",")]
    return [scales] if isinstance(scales, int | float) else scales


Scales = Annotated[tuple[float, ...], BeforeValidator(listed), AfterValidator(positive)]


class Settings(BaseModel):
    """Base of all settings; built from plain dicts with ``parse``."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str = "settings") -> Self:
        """Validate ``values``.

        Raises:
            SettingsError: an unknown key (the nearest known one is named) or a value of the wrong kind.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            if first["type"] != "extra_forbidden":
                raise SettingsError(f"{where}: {key}: {first['msg']}, got {first['input']!r}") from None
            known = known_keys(cls)
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known) or 'none'}"
            raise SettingsError(f"{where}: unknown setting {key}{hint}") from None


def known_keys(settings: type[BaseModel], prefix: str = "") -> list[str]:
    """All dotted keys of a settings class, nested ones included."""
    keys: list[str] = []
    for name, field in settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += known_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(f"{prefix}{name}")
    return keys


def assign(values: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Put ``KEY=VALUE`` texts into nested settings; returns them.

    Raises:
        SettingsError: one has no ``=``.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise SettingsError(f"--set {assignment}: wanted KEY=VALUE, such as epochs=8")
        put(values, key.strip(), parse_value(text))
    return values


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
    """Set a dotted key."""
    *path, last = key.split(".")
    for part in path:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"setting {key}: {part} is a value, not a group")
        values = inner
    values[last] = value


def merge(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Put ``changes`` into ``values``, groups key by key."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            merge(values[key], value)
        else:
            values[key] = value


def parse_value(text: str) -> object:
    """A number, true, false, null, a list or a string, as YAML reads it; 1e-3 is a number too."""
    try:
        return float(text) if "e" in text.lower() and text.strip()[:1] in "0123456789.-+" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return text


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted keys."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found
