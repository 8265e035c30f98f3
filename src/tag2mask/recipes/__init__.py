"""Published recipes by name: one YAML file each, with settings for verbs and their sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

from tag2mask.errors import SettingsError
from tag2mask.notation import from_yaml

# Names in version 0.1; they are also names of methods.
OLD_NAMES: Mapping[str, str] = MappingProxyType(
    {name: f"voc-{name}" for name in ("mctformer-v1", "mctformer-v2", "mctformer-plus")}
)


@dataclass(frozen=True)
class Recipe:
    """Settings by verb: ``train``, ``masks`` and, if the recipe has a segmenter, ``segment``.

    ``text`` is the whole file including comments, ``title`` its first line.
    """

    name: str
    text: str
    title: str
    verbs: Mapping[str, dict[str, Any]]

    def of(self, verb: str) -> dict[str, Any]:
        """Return the settings of one verb.

        Raises:
            SettingsError: The recipe has no settings for it.
        """
        if verb not in self.verbs:
            others = ", ".join(name for name in recipe_names() if verb in read_recipe(name).verbs)
            raise SettingsError(f"recipe {self.name} has no settings for {verb}; recipes that do: {others or 'none'}")
        return self.verbs[verb]


def recipe_names() -> list[str]:
    """Return the names of all recipes, sorted."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def read_recipe(name: str) -> Recipe:
    """Read a recipe by its name, or by its name in version 0.1.

    Raises:
        SettingsError: There is no recipe of that name.
    """
    name = OLD_NAMES.get(name, name)
    if name not in recipe_names():
        raise SettingsError(f"recipe {name!r} is unknown; there are {', '.join(recipe_names())}")
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return Recipe(name, text, text.splitlines()[0].lstrip("# "), from_yaml(text.encode()))
