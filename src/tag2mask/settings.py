"""What every settings class shares: frozen, and an unknown key is an error that names the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tag2mask.errors import SettingsError


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
            near = difflib.get_close_matches(key, known_keys(cls), n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known_keys(cls))}"
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
