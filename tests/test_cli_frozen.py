"""The command line as users know it: what version 0.1 had, what came since, and every command in our own pages."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from blocks import PAGES, ROOT, SHELL, blocks_of, commands_in
from command import call
from tag2mask.cli import app
from tag2mask.cli.bridge import Options, import_name, option_name
from tag2mask.methods import METHODS
from tag2mask.recipes import recipe_names
from tag2mask.refine.settings import CRF_RECIPES
from tag2mask.settings import Settings

# Version 0.1, frozen: each option still works, or its error says what replaces it.
OF_0_1 = {
    "check": "--json --quick --set --source",
    "compare": "--budget-minutes --config --json --methods --out --refine --seeds --set --threshold --weights",
    "convert": "--images --json --out --suffix --to",
    "demo": "--json --out",
    "evaluate": "--json --split --truth",
    "export": "--format --json --out",
    "masks": "--data --flip --heads --json --layers --out --preset "
    "--refine --scales --set --split --tags --threshold --tune-on-truth --walk",
    "predict": "--flip --json --out --overlay --refine --scales --set --split",
    "prepare": "--json --limit --link --out --root --set --splits",
    "presets": "--json",
    "refine-train": "--backbone --epochs --json --out --set --split --weights",
    "report": "--full --json --masks --out --segmented --truth",
    "reproduce": "--go --json --out --root --set --weights",
    "run": "--backbone --json --method --out --quick --seed --set --weights",
    "segment": "--architecture --backbone --batch-size --config --crop --epochs --fully-supervised --json --masks "
    "--out --preset --resume --rounds --seed --set --truth --val-truth --weights",
    "train": "--backbone --batch-size --config --epochs --image-size --json --method "
    "--out --precision --preset --resume --seed --set --split --weights",
}  # fmt: skip
SINCE = {
    "doctor": "--json",
    "bench": "--backbone --batch-size --image-size --json --method --set",
    "import": "--background --classes --image-size --json --method --out",
    "masks": "--probe --recipe --scores --segmenter --shard --unsure",
    "merge": "--json --out",
    "predict": "--shard",
    "push": "--json --to",
    "recipes": "--json",
    "convert": "--corrections",
    "evaluate": "--corrections",
    "refine-train": "--memory --resume",
    "run": "--memory",
    "segment": "--corrections --memory --potts --recipe --target",
    "train": "--memory --no-probe --recipe",
    "train-probe": "--json --out --set --split",
    "view": "--compare --corrections --data --host --json --no-open --port --token --who",
}
HIDDEN = {"--preset"}


def options_and_arguments(verb: str) -> list[click.Parameter]:
    command = app.commands[verb]
    return [one for one in command.get_params(click.Context(command)) if "--help" not in one.opts]


def options_of(verb: str) -> dict[str, click.Parameter]:
    return {name: one for one in options_and_arguments(verb) for name in one.opts if name.startswith("--")}


def test_the_command_line_is_frozen() -> None:
    assert set(app.commands) == OF_0_1.keys() | SINCE.keys()
    for verb in app.commands:
        wanted = {*OF_0_1.get(verb, "").split(), *SINCE.get(verb, "").split()}
        assert options_of(verb).keys() == wanted, verb


def test_old_names_work_unseen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in app.commands:
        assert {name for name, one in options_of(verb).items() if getattr(one, "hidden", False)} <= HIDDEN
    assert call(monkeypatch, "--help") == 0
    assert "presets" not in capsys.readouterr().out
    for option in ("--recipe", "--preset"):
        context = app.commands["train"].make_context("train", ["data", "--out", "run", option, "mctformer-v2"])
        assert settings_in(context).method == "mctformer-v2"


def settings_in(context: click.Context) -> Any:
    """The settings that a parsed call asks for; all of them are read."""
    given = dict(context.params)
    read = [one.read(given) for one in EXPOSED.get(str(context.info_name), [])]
    return read[-1] if read else None


def exposed_of(command: click.Command) -> list[Options]:
    """What a verb shows of settings classes."""
    assert command.callback is not None
    found: list[Options] = inspect.getclosurevars(command.callback).nonlocals["exposed"]
    return found


EXPOSED = {name: exposed_of(command) for name, command in app.commands.items()}
KEYS = [(verb, one, key) for verb, exposed in EXPOSED.items() for one in exposed for key in one.keys.split()]


@pytest.mark.parametrize("verb", app.commands)
def test_a_verb_hands_its_function_what_it_takes(verb: str) -> None:
    command = app.commands[verb]
    assert command.callback is not None
    function = import_name(inspect.getclosurevars(command.callback).nonlocals["function"])
    given = {one.name for one in options_and_arguments(verb)} - {"as_json"}
    for one in EXPOSED[verb]:
        given -= {option_name(key).replace("-", "_") for key in one.keys.split()} | set(one.layers)
        given.add(one.into)
    parameters = inspect.signature(function).parameters
    assert given <= parameters.keys()
    required = {name for name, one in parameters.items() if one.default is inspect.Parameter.empty}
    assert required <= given


@pytest.mark.parametrize(("verb", "exposed", "key"), KEYS, ids=lambda value: value if isinstance(value, str) else "")
def test_an_option_is_its_setting(verb: str, exposed: Options, key: str) -> None:
    """Its help is the setting's, with the default that an instance has."""
    settings: type[Settings] = import_name(exposed.settings_class)
    option = options_of(verb)[f"--{option_name(key)}"]
    assert isinstance(option, click.Option)
    assert option.help
    if key in settings.shorthands:
        assert option.help == f"{settings.shorthands[key].description}."
        return
    value: Any = settings()
    for part in key.split("."):
        value = getattr(value, part, None)
    shown = re.search(r" \[([^]]*)\]\.$", option.help)
    if option.is_flag:
        assert value is False
    elif isinstance(value, tuple):
        assert shown is not None
        assert shown[1] in (",".join(map(str, value)) or "none", "all")
    elif value is not None:
        assert shown is not None
        assert shown[1] in (str(value), "5 to 50, depending on their number")


LEAST = {
    "bench": "",
    "run": "data --out out",
    "prepare": "voc --root root --out out",
    "train": "data --out out",
    "refine-train": "run --out out",
    "train-probe": "run --out out",
    "masks": "run",
    "compare": "data --out out --methods linear",
    "segment": "run --out out",
    "predict": "model --out out",
}


@pytest.mark.parametrize("verb", [verb for verb, exposed in EXPOSED.items() if exposed])
def test_what_is_not_given_is_not_set(verb: str) -> None:
    """Recipes and files lie below the options."""
    given = app.commands[verb].make_context(verb, LEAST[verb].split()).params
    for exposed in EXPOSED[verb]:
        assert exposed.read(given).model_fields_set == set()


def test_recipes_methods_and_crf_recipes_share_no_name() -> None:
    names = [*recipe_names(), *METHODS, *CRF_RECIPES]
    assert len(set(names)) == len(names)


def calls_of(page: Path) -> Iterator[list[str]]:
    """The words of the commands in the blocks of a page, which are whole."""
    for block in blocks_of(page):
        if block.language == SHELL:
            words = (shlex.split(command, comments=True) for command in commands_in(block.text))
            yield from (call for call in words if call[0] == "tag2mask")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_in_our_pages_are_commands(page: Path) -> None:
    """Those in blocks parse, and their settings are ones; those in sentences name verbs and options that are there."""
    for _, verb, *words in calls_of(page):
        filled = ["0" if word == "S" else word for word in words]
        settings_in(app.commands[verb].make_context(verb, filled))
    sentences = " ".join(page.read_text(encoding="utf-8").split())
    for words in (code.split() for code in re.findall(r"`tag2mask ([a-z][^`]*)`", sentences)):
        assert words[0] in app.commands
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options_of(words[0]).keys()
