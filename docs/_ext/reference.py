"""The reference of commands, settings, methods, sources and functions, as Markdown, from the tables of tag2mask."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping

import click

import tag2mask
from tag2mask.cli import app
from tag2mask.cli.bridge import Options, import_name
from tag2mask.data import DataSettings
from tag2mask.data.sources import SOURCES
from tag2mask.exporters import CONVERTERS
from tag2mask.fields import Setting
from tag2mask.methods import METHODS, method_settings
from tag2mask.recipes import read_recipe, recipe_names
from tag2mask.settings import Settings, flat

SETTINGS_PAGE = "settings.md"
OPTION = re.compile(r"(?<![`\w-])(--[a-z][\w-]*)")
NOT_VERBS = ("Model", "Tag2MaskError", "__version__", "load")


def commands() -> str:
    """Return one section per verb: its call, what it does, its arguments and options."""
    return "\n\n".join(section_of(command) for command in app.commands.values() if not command.hidden)


def overview() -> str:
    """Return a table of all verbs, with the first sentence of each."""
    shown = [command for command in app.commands.values() if not command.hidden]
    rows = ([f"[`{one.name}`](#{one.name})", one.get_short_help_str(limit=120)] for one in shown)
    return table(("command", "what it does"), rows)


def section_of(command: click.Command) -> str:
    """Return the section of one verb."""
    context = click.Context(command, info_name=f"tag2mask {command.name}")
    parameters = [one for one in command.get_params(context) if not getattr(one, "hidden", False)]
    rows = ([f"`{call_of(one)}`", text_of(one)] for one in parameters if "--help" not in one.opts)
    parts = [f"## {command.name}", prose(command.help or ""), fence(usage(context, parameters))]
    parts += [table(("argument or option", "meaning"), rows), *settings_note(command)]
    return "\n\n".join(part for part in parts if part)


def usage(context: click.Context, parameters: Iterable[click.Parameter]) -> str:
    """Return how a verb is called: its arguments and required options."""
    needed = [call_of(one) for one in parameters if one.required or isinstance(one, click.Argument)]
    return " ".join([str(context.info_name), *needed, "[OPTIONS]"])


def call_of(parameter: click.Parameter) -> str:
    """Return how an argument or option is written."""
    if isinstance(parameter, click.Argument):
        return parameter.metavar or parameter.human_readable_name.upper()
    name = max(parameter.opts, key=len)
    if getattr(parameter, "is_flag", False):
        return name
    return f"{name} {parameter.metavar or parameter.type.name.upper()}"


def text_of(parameter: click.Parameter) -> str:
    """Return the help of an argument or option."""
    return prose(getattr(parameter, "help", None) or "")


def prose(text: str) -> str:
    """Return help as Markdown: options are code, or their dashes would become one."""
    return OPTION.sub(r"`\1`", text.strip())


def exposed_by(command: click.Command) -> list[Options]:
    """Return the settings that a verb takes."""
    if command.callback is None:
        return []
    found: list[Options] = inspect.getclosurevars(command.callback).nonlocals.get("exposed", [])
    return found


def settings_note(command: click.Command) -> Iterator[str]:
    """Say where the settings of a verb are listed."""
    classes = [import_name(one.settings_class) for one in exposed_by(command)]
    if classes:
        links = " and ".join(f"[{one.called}]({SETTINGS_PAGE}#{anchor(one.called)})" for one in classes)
        yield f"All settings, for `--set KEY=VALUE`: {links}."


def settings_classes() -> dict[str, type[Settings]]:
    """Return the settings classes that verbs take, and that of the data, by what they are called."""
    found: dict[str, type[Settings]] = {}
    for command in app.commands.values():
        for one in exposed_by(command):
            settings = import_name(one.settings_class)
            found.setdefault(settings.called, settings)
    return {**found, "data": DataSettings}


def settings() -> str:
    """Return one section per settings class, with a table of its keys; stages that have a section are not repeated."""
    classes = settings_classes()
    sections = []
    for name, one in classes.items():
        groups = {key: field for key, field in one.model_fields.items() if field.annotation in classes.values()}
        elsewhere = [key for key in groups if name == "run" or key in classes]
        keys = [setting for setting in one.listed() if setting.key.partition(".")[0] not in elsewhere]
        links = "\n".join(f"- `{key}.KEY`: the settings of [{key}](#{anchor(key)})" for key in elsewhere)
        parts = [f"## {name}", inspect.cleandoc(one.__doc__ or ""), links, table_of_settings(keys)]
        sections.append("\n\n".join(part for part in parts if part))
    return "\n\n".join(sections)


def table_of_settings(keys: Iterable[Setting], defaults: Mapping[str, object] | None = None) -> str:
    """Return a table of settings; ``defaults`` replace those of the class."""
    rows = []
    for one in keys:
        text, _, stated = one.description.partition(" [")
        default = stated.removesuffix("]") or code(one.shown_default()) or ("none" if one.nullable else "")
        if defaults is not None and one.key in defaults:
            default = code(str(defaults[one.key]))
        rows.append([code(one.key), code(one.form), prose(default), prose(f"{text}.")])
    return table(("key", "value", "default", "meaning"), rows)


def methods() -> str:
    """Return one section per method with its settings, as ``method.KEY``."""
    sections = []
    for name, entry in METHODS.items():
        if name == "tokenmasking-paper":  # the old name of another
            continue
        values = flat(method_settings(name, {}).model_dump(mode="json"))
        own = {key: values[key] for key in entry.settings if values.get(key) is not None}
        sections.append(
            f"### {name}\n\n{table_of_settings(entry.settings_class.listed(), own) or 'It has no settings.'}"
        )
    return "\n\n".join(sections)


def sources() -> str:
    """Return one section per source with its layout and settings."""
    sections = []
    for name, source in SOURCES.items():
        listed = table_of_settings(source.settings_class.listed()) or "It has no settings."
        sections.append(f"### {name}\n\nLayout: `{source.layout}`\n\n{listed}")
    return "\n\n".join(sections)


def recipes() -> str:
    """Return a table of the recipes."""
    rows = ([code(name), read_recipe(name).title, ", ".join(read_recipe(name).verbs)] for name in recipe_names())
    return table(("recipe", "what", "settings for"), rows)


def converters() -> str:
    """Return the names of the converters."""
    return ", ".join(code(name) for name in CONVERTERS)


def functions() -> str:
    """Return the directives that document the verbs in Python and the model."""
    verbs = [f".. autofunction:: tag2mask.{name}" for name in tag2mask.__all__ if name not in NOT_VERBS]
    return directive(["", ".. autofunction:: tag2mask.load", "", *("\n".join([one, ""]) for one in verbs)])


def directive(lines: Iterable[str]) -> str:
    """Return reStructuredText inside Markdown."""
    return "\n".join(["```{eval-rst}", *lines, "```"])


def table(head: tuple[str, ...], rows: Iterable[list[str]]) -> str:
    """Return a table, or nothing without rows."""
    made = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *made]) if made else ""


def code(text: str) -> str:
    """Return text as code, if there is any."""
    return f"`{text}`" if text else ""


def fence(text: str) -> str:
    """Return a block that is not run."""
    return f"```text\n{text}\n```"


def anchor(title: str) -> str:
    """Return the anchor of a heading."""
    return title.lower().replace(" ", "-")
