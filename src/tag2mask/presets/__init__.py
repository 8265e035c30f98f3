"""The papers' recipes by name: a YAML file each, with settings for verbs and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

from tag2mask.errors import SettingsError
from tag2mask.notation import from_yaml


@dataclass(frozen=True)
class Preset:
    """Settings of a training run, of its masks, and of a segmenter if any.

    ``text`` is the whole file, comments too, and ``title`` its first line.
    """

    name: str
    text: str
    title: str
    train: dict[str, Any]
    masks: dict[str, Any]
    segment: dict[str, Any] | None


def preset_names() -> list[str]:
    """All presets."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def read_preset(name: str) -> Preset:
    """A preset by its name.

    Raises:
        SettingsError: there is none of that name.
    """
    if name not in preset_names():
        raise SettingsError(f"preset {name!r} is unknown; there are {', '.join(preset_names())}")
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    values = from_yaml(text.encode())
    return Preset(
        name, text, text.splitlines()[0].lstrip("# "), values["train"], values["masks"], values.get("segment")
    )
