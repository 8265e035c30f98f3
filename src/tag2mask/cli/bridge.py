"""Click commands from the verbs' functions; options for settings are generated from the settings classes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tag2mask.shown import Result, say

if TYPE_CHECKING:
    from tag2mask.fields import Setting
    from tag2mask.settings import Settings


class Place(click.Path):
    """A path. The function ``reached`` turns a URL into one, or refuses it, when the verb is called."""

    def __init__(self, reached: str) -> None:
        super().__init__(path_type=Path)
        self.reached = reached

    def reach(self, given: Any) -> Any:
        """Return what the verb gets for an argument: None, a path, or several."""
        if given is None:
            return None
        return [*map(self.reach, given)] if isinstance(given, tuple) else import_name(self.reached)(given)


PATH = Place("data.remote.require_local")
FROM_URL = Place("data.remote.fetch")
ALL_FROM_URL = Place("data.remote.fetch_all")
TO_URL = Place("data.remote.show")
JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object as the last line.")
SET = click.Option(["--set", "assignments"], multiple=True, metavar="KEY=VALUE", help="Change any setting; repeatable.")
LAYERS: Mapping[str, list[click.Option]] = {  # by argument of Settings.read
    "recipe": [
        click.Option(["--recipe"], metavar="NAME", help="A published recipe; tag2mask recipes lists them."),
        click.Option(["--preset", "recipe"], hidden=True),  # the option's name in version 0.1
    ],
    "config": [click.Option(["--config"], type=PATH, metavar="FILE", help="A YAML file of settings.")],
    "assignments": [SET],
}


def import_name(name: str) -> Any:
    """Import a name by its dotted path below ``tag2mask``."""
    module, _, last = name.rpartition(".")
    return getattr(import_module(f"tag2mask.{module}"), last)


@dataclass(frozen=True)
class Options:
    """Options for the settings argument ``into`` of a verb: settings class, keys with options, names in ``LAYERS``."""

    settings_class: str
    keys: str
    layers: Sequence[str] = tuple(LAYERS)
    into: str = "settings"

    def made(self) -> list[click.Option]:
        """Make one option per key, with the type, default and description of its setting."""
        known = {setting.key: setting for setting in import_name(self.settings_class).listed()}
        made = [option_for(option_name(key), known[key]) for key in self.keys.split()]
        return [*made, *(option for layer in self.layers for option in LAYERS[layer])]

    def read(self, given: dict[str, Any]) -> Settings:
        """Return the settings that the options ask for, and remove these options from ``given``."""
        options = {key: given.pop(option_name(key).replace("-", "_")) for key in self.keys.split()}
        layers = {layer: given.pop(layer) for layer in self.layers}
        chosen = {key: value for key, value in options.items() if value is not None}
        read: Settings = import_name(self.settings_class).read(chosen, **layers)
        return read


class Verb(click.Command):
    """A command that makes its last options only when called, so ``tag2mask --help`` imports no settings class."""

    waiting: Callable[[], list[click.Option]] = list

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return all parameters, and make the waiting ones first."""
        waiting, self.waiting = self.waiting, list
        self.params = [*self.params, *waiting()]
        return super().get_params(ctx)


class Verbs(click.Group):
    """A group that lists its commands in sections, in the order given; click would sort them.

    ``sections`` has a title and the names of its commands per section; the last one also lists commands in no section.
    """

    sections: Mapping[str, str]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list per section, all with columns of one width."""
        left = {name: one.get_short_help_str(90) for name, one in self.commands.items() if not one.hidden}
        wide = max(map(len, left))
        for number, (title, names) in enumerate(self.sections.items(), start=1):
            listed = {name: left.pop(name) for name in names.split()} | (left if number == len(self.sections) else {})
            with formatter.section(title):
                formatter.write_dl([(name.ljust(wide), text) for name, text in listed.items()])


def verb(
    name: str, function: str, text: str, *parts: click.Parameter | Options, fails: str = "", hidden: bool = False
) -> Verb:
    """Make a command that calls a function below ``tag2mask``; a result with entries in ``fails`` gives exit code 1."""
    exposed = [part for part in parts if isinstance(part, Options)]

    def call(as_json: bool, **given: Any) -> int:
        chosen = {one.into: one.read(given) for one in exposed}
        given |= {name: kind.reach(given[name]) for name, kind in places.items()}
        return give(import_name(function)(**chosen, **given), as_json, fails)

    own: list[click.Parameter] = [part for part in parts if isinstance(part, click.Parameter)]
    places = {str(part.name): part.type for part in own if isinstance(part.type, Place)}
    made = Verb(name, callback=call, params=own, help=text, hidden=hidden)
    made.waiting = lambda: [*(option for one in exposed for option in one.made()), JSON]
    return made


def give(result: Result, as_json: bool, fails: str) -> int:
    """Print a result and return the exit code: 1 if the result has entries under ``fails``, else 0."""
    content = result.to_json()
    failed = content[fails] if fails else {}
    if prints():
        if not as_json:
            say(result.shown())
        if isinstance(failed, dict):
            for name, reason in failed.items():
                print(f"failed: {name}: {reason}", file=sys.stderr)
        if as_json:
            print(json.dumps(content))
    return int(bool(failed))


def prints() -> bool:
    """Whether this process prints the result: of those that trained together, only the first one does."""
    together = sys.modules.get("tag2mask.training.together")  # verbs that do not train should not wait for its import
    return together is None or bool(together.first())


def option_name(key: str) -> str:
    """Name the option of a key: --image-size for ``backbone.image_size``, --backbone for ``backbone.name``."""
    *groups, last = key.split(".")
    return (groups[-1] if last in ("name", "names") else last).replace("_", "-")


def option_for(name: str, setting: Setting) -> click.Option:
    """Make an option that is None unless given, so that it does not override recipes and files."""
    if setting.kind is bool:
        return click.Option([f"--{name}"], is_flag=True, default=None, help=f"{setting.description}.")
    kind = setting.kind if setting.kind in (int, float) else str
    return click.Option([f"--{name}"], type=kind, metavar=setting.form, help=setting.help())


def argument(name: str, metavar: str, text: str, **more: Any) -> click.Argument:
    """Make a positional argument, a path unless ``more`` has another type."""
    return click.Argument([name], **{"type": PATH, "metavar": metavar, "help": text, **more})


def word(name: str, metavar: str, text: str, **more: Any) -> click.Option:
    """Make an option with a text value, or with a number if ``more`` has such a ``type``."""
    return click.Option([f"--{name}"], metavar=metavar, help=text, **more)


def path(name: str, metavar: str, text: str, **more: Any) -> click.Option:
    """Make an option with a path, a local one unless ``more`` has another type."""
    return word(name, metavar, text, **{"type": PATH, **more})


def flag(name: str, text: str) -> click.Option:
    """Make an option without a value."""
    return click.Option([f"--{name}"], is_flag=True, help=text)
