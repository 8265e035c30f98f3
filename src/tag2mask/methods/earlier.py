"""Methods as runs of 0.1 name them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tag2mask.errors import SettingsError
from tag2mask.methods.attended import AttendedSettings
from tag2mask.methods.tokenmasking import TokenMaskingSettings
from tag2mask.settings import Settings

# Values, of settings that are gone, with which a run means what this version does.
ATTENDED: Mapping[str, tuple[Any, ...]] = MappingProxyType({"head": ("per_token",), "final_norm": (True,)})
PRUNED: Mapping[str, tuple[Any, ...]] = MappingProxyType({"gates": ("soft",), "heads": ("open",)})
TOKEN: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {"head": ("concat", "per_token"), "class_attention": ("all",), "over_layers": ("mean",), "cut": (0,)}
)


def method_of_run(name: str, settings: Mapping[str, Any], where: str) -> tuple[str, dict[str, Any]]:
    """A run's method and its settings in this version's words; ``where`` is the file that says them.

    0.1 had one class for TokenMasking and our own method, ``tokenmasking``, whose setting ``reads`` told them apart.

    Raises:
        SettingsError: the method had a form that is gone.
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
    """Every setting has one of its wanted values, or none.

    Raises:
        SettingsError: one has not.
    """
    for key, values in wanted.items():
        if key in settings and settings[key] not in values:
            raise SettingsError(
                f"{where}: method.{key}={settings[key]} with reads={settings['reads']} is gone; open the run with "
                "tag2mask 0.1, or train again"
            )


def known_settings(settings: Mapping[str, Any], kind: type[Settings]) -> dict[str, Any]:
    """The settings that ``kind`` still has."""
    return {key: value for key, value in settings.items() if key in kind.model_fields}
