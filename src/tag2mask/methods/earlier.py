"""Methods in runs of version 0.1."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tag2mask.errors import SettingsError
from tag2mask.methods.attended import AttendedSettings
from tag2mask.methods.tokenmasking import TokenMaskingSettings
from tag2mask.settings import Settings

# Settings that no longer exist, with the values that match this version's behaviour.
ATTENDED: Mapping[str, tuple[Any, ...]] = MappingProxyType({"head": ("per_token",), "final_norm": (True,)})
PRUNED: Mapping[str, tuple[Any, ...]] = MappingProxyType({"gates": ("soft",), "heads": ("open",)})
TOKEN: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {"head": ("concat", "per_token"), "class_attention": ("all",), "over_layers": ("mean",), "cut": (0,)}
)


def method_of_run(name: str, settings: Mapping[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """Translate a run's method and its settings to this version; ``where`` names their file in messages.

    Version 0.1 had one method, ``tokenmasking``, for both TokenMasking and our own method, which differed in the
    setting ``reads``.

    Raises:
        SettingsError: this version no longer supports that form of the method.
    """
    match settings.get("reads"):
        case "attended":
            require(settings, {**ATTENDED, **(PRUNED if settings.get("pruning") else {})}, where)
            return "attended", known_settings(settings, AttendedSettings)
        case "token":
            require(settings, TOKEN, where)
            return name, known_settings(settings, TokenMaskingSettings)
        case _:
            return name, dict(settings)


def require(settings: Mapping[str, Any], wanted: Mapping[str, tuple[Any, ...]], where: str) -> None:
    """Check that each of these settings is absent or has a supported value.

    Raises:
        SettingsError: one has an unsupported value.
    """
    for key, values in wanted.items():
        if key in settings and settings[key] not in values:
            raise SettingsError(
                f"{where}: method.{key}={settings[key]} with reads={settings['reads']} was removed; open the run "
                "with tag2mask 0.1, or train again"
            )


def known_settings(settings: Mapping[str, Any], kind: type[Settings]) -> dict[str, Any]:
    """Keep only the settings that ``kind`` has."""
    return {key: value for key, value in settings.items() if key in kind.model_fields}
