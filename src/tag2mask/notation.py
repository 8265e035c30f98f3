"""JSON and YAML as plain values, read one way everywhere: whatever cannot be read so is a ``ValueError`` of one line.

Words are JSON's in both: ``no``, ``012`` and ``0x1F`` are texts, not false, 10 and 31 as in YAML 1.1. Numbers are
finite, and whole ones have 64 bits.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import yaml

LARGEST = 2**63 - 1
LONGEST = 16 * 2**20  # bytes of YAML, which is read slowly
DEEPEST, MOST = 50, 2_000_000  # levels, and values that the aliases of a YAML file stand for
WHOLE = re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$")
FRACTION = re.compile(r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$")
WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def from_json(content: bytes, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """The value of a JSON text; ``hook`` replaces its objects.

    Raises:
        ValueError: it is no UTF-8, no JSON, or holds what is no finite number.
    """
    try:
        return json.loads(
            content.decode("utf-8-sig"),
            object_hook=hook,
            parse_float=finite,
            parse_int=whole,
            parse_constant=finite,
        )
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def from_yaml(content: bytes) -> Any:
    """The value of a YAML text.

    Raises:
        ValueError: it is no UTF-8, no YAML, too large, or holds what is no plain value.
    """
    if len(content) > LONGEST:
        raise ValueError(f"is larger than {LONGEST // 2**20} MiB")
    try:
        value = yaml.load(content.decode("utf-8-sig"), PlainLoader)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # an explicit tag on a foreign value
        raise ValueError(f"holds a value that its tag does not fit ({error})") from None
    require_plain_values(value)
    return value


def to_yaml(content: Mapping[str, Any]) -> str:
    """A YAML text that ``from_yaml`` reads back, in the order given."""
    text: str = yaml.dump(dict(content), Dumper=PlainDumper, sort_keys=False)
    return text


def from_word(text: str) -> Any:
    """What a word is by itself: a number, true, false, null, or else a text; lists, groups and quotes as in YAML."""
    text = text.strip()
    if text in WORDS:
        return WORDS[text]
    try:
        if WHOLE.match(text):
            return whole(text)
        if FRACTION.match(text):
            return finite(text)
        return from_yaml(text.encode("utf-8", "surrogateescape")) if text[0] in "[{\"'" else text
    except ValueError:
        return text


def finite(text: str) -> float:
    """A number that is one.

    Raises:
        ValueError: it is infinite or none.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"holds {text[:20]}, which is no finite number")
    return number


def whole(text: str) -> int:
    """A whole number of 64 bits.

    Raises:
        ValueError: it is larger.
    """
    if len(text) > 20 or abs(int(text)) > LARGEST:
        raise ValueError(f"holds the whole number {text[:20]}, which is too large")
    return int(text)


def require_plain_values(value: Any) -> None:
    """Nothing but texts, numbers, true, false and null in lists and groups, of a depth and number that can be shown.

    Raises:
        ValueError: there is something else, or too much.
    """
    seen = 0
    inside: list[Iterator[Any]] = [iter([value])]
    while inside:
        for one in inside[-1]:
            seen += 1
            if seen > MOST:
                raise ValueError(f"stands for more than {MOST} values")
            if isinstance(one, dict | list):
                if len(inside) > DEEPEST:
                    raise ValueError(f"is nested more than {DEEPEST} levels deep")
                inside.append(iter(parts(one)))
                break
            if not isinstance(one, str | int | float | None):
                raise ValueError(f"holds a {type(one).__name__}; wanted texts, numbers, true, false or null")
        else:
            inside.pop()


def parts(group: dict[Any, Any] | list[Any]) -> Iterable[Any]:
    """What is in a list or a group, whose keys are texts, or whole numbers as in lists of classes.

    Raises:
        ValueError: a key is neither.
    """
    if isinstance(group, list):
        return group
    for key in group:
        if type(key) not in (str, int):
            raise ValueError(f"has the key {key!r}, which is no text; put it into quotes")
    return group.values()


class PlainLoader(yaml.SafeLoader):
    """YAML whose words are JSON's."""

    yaml_implicit_resolvers = {}  # noqa: RUF012


class PlainDumper(yaml.SafeDumper):
    """Puts into quotes what readers of YAML 1.1 or ``PlainLoader`` would not take for a text."""


def construct(read: Callable[[str], float], loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    """A number of a YAML text."""
    return read(str(loader.construct_scalar(node)))


def resolve() -> None:
    """Say which words are what."""
    starts = list("-+.0123456789")
    for kind in (PlainLoader, PlainDumper):
        kind.add_implicit_resolver("tag:yaml.org,2002:int", WHOLE, starts)
        kind.add_implicit_resolver("tag:yaml.org,2002:float", FRACTION, starts)
        kind.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile("^<<$"), ["<"])
        for word, value in WORDS.items():
            tag = f"tag:yaml.org,2002:{'null' if value is None else 'bool'}"
            kind.add_implicit_resolver(tag, re.compile(f"^{re.escape(word)}$"), [word[:1]])
    for tag, read in (("int", whole), ("float", finite)):
        PlainLoader.add_constructor(f"tag:yaml.org,2002:{tag}", partial(construct, read))


resolve()
