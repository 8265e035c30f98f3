"""Published recipes by name: a YAML file each, with settings for verbs and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

from tag2mask.errors import SettingsError
from tag2mask.notation import from_yaml

# Names of version 0.1, which methods have too.
OLD_NAMES: Mapping[str, str] = MappingProxyType(
    {name: f"voc-{name}" for name in ("mctformer-v1", "mctformer-v2", "mctformer-plus")}
)


@dataclass(frozen=True)
class Recipe:
    """Settings by verb: ``train``, ``masks``, and ``segment`` if there is a segmenter.

    ``text`` is the whole file, comments too, and ``title`` its first line.
    """

    name: str
    text: str
    title: str
    verbs: Mapping[str, dict[str, Any]]

    def of(self, verb: str) -> dict[str, Any]:
        """The settings of one verb.

        Raises:
            SettingsError: the recipe has none for it.
        """
        if verb not in self.verbs:
            others = ", ".join(name for name in recipe_names() if verb in read_recipe(name).verbs)
            raise SettingsError(f"recipe {self.name} has no settings for {verb}; recipes that do: {others or 'none'}")
        return self.verbs[verb]


def recipe_names() -> list[str]:
    """All recipes."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def read_recipe(name: str) -> Recipe:
    """A recipe by its name, or by the one that it had in 0.1.

    Raises:
        SettingsError: there is none of that name.
    """
    name = OLD_NAMES.get(name, name)
    if name not in recipe_names():
        raise SettingsError(f"recipe {name!r} is unknown; there are {', '.join(recipe_names())}")
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return Recipe(name, text, text.splitlines()[0].lstrip("# "), from_yaml(text.encode()))
