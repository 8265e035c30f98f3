"""Reading JSON and YAML as plain values; anything invalid raises a ``ValueError`` with a one-line message.

YAML words have JSON's meaning: ``no``, ``012`` and ``0x1F`` are texts, not false, 10 and 31 as in YAML 1.1. Numbers
must be finite, and integers must fit in 64 bits.
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
LONGEST = 16 * 2**20  # bytes of a YAML text, since YAML is slow to read
DEEPEST, MOST = 50, 2_000_000  # levels, and values after a YAML text's aliases are expanded
WHOLE = re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$")
FRACTION = re.compile(r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)$")
UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
BYTES = re.compile(r"^([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)$")
WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def from_json(content: bytes, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Parse a JSON text; ``hook`` replaces its objects.

    Raises:
        ValueError: it is not UTF-8 or not JSON, or a number is not finite or too large.
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
    """Parse a YAML text.

    Raises:
        ValueError: it is not UTF-8, not YAML or too large, or holds a value that is not plain.
    """
    if len(content) > LONGEST:
        raise ValueError(f"is larger than {LONGEST // 2**20} MiB")
    try:
        value = yaml.load(content.decode("utf-8-sig"), PlainLoader)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # an explicit tag does not fit its value
        raise ValueError(f"holds a value that does not fit its tag ({error})") from None
    require_plain_values(value)
    return value


def to_yaml(content: Mapping[str, Any]) -> str:
    """Return content as a YAML text that ``from_yaml`` reads back, in the given order."""
    text: str = yaml.dump(dict(content), Dumper=PlainDumper, sort_keys=False)
    return text


def from_word(text: str) -> Any:
    """Parse a word as a number, true, false, null, or else a text; lists, groups and quotes are parsed as YAML."""
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
    """Parse a finite number.

    Raises:
        ValueError: it is infinite or NaN.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"holds {text[:20]}, which is not a finite number")
    return number


def whole(text: str) -> int:
    """Parse an integer of at most 64 bits.

    Raises:
        ValueError: it is larger.
    """
    if len(text) > 20 or abs(int(text)) > LARGEST:
        raise ValueError(f"holds the integer {text[:20]}, which is too large")
    return int(text)


def read_bytes(text: str) -> int:
    """Parse an amount of memory with its unit, such as 8GB or 512 MiB.

    Raises:
        ValueError: it has no unit, or another one.
    """
    found = BYTES.match(text.strip())
    factor = {unit.lower(): size for unit, size in UNITS.items()}.get(found[2].lower()) if found else None
    if found is None or factor is None:
        raise ValueError(f"expected a number and one of {', '.join(UNITS)}, such as 8GB")
    return round(float(found[1]) * factor)


def show_bytes(count: float) -> str:
    """Write an amount of memory in MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def require_plain_values(value: Any) -> None:
    """Check that a value holds only texts, numbers, true, false and null in lists and groups, within limits.

    Raises:
        ValueError: it holds something else, too many values or too many levels.
    """
    seen = 0
    inside: list[Iterator[Any]] = [iter([value])]
    while inside:
        for one in inside[-1]:
            seen += 1
            if seen > MOST:
                raise ValueError(f"has more than {MOST} values")
            if isinstance(one, dict | list):
                if len(inside) > DEEPEST:
                    raise ValueError(f"is nested more than {DEEPEST} levels deep")
                inside.append(iter(parts(one)))
                break
            if not isinstance(one, str | int | float | None):
                raise ValueError(f"holds a {type(one).__name__}; expected texts, numbers, true, false or null")
        else:
            inside.pop()


def parts(group: dict[Any, Any] | list[Any]) -> Iterable[Any]:
    """Return the values in a list or a group, whose keys must be texts or integers (as in lists of classes).

    Raises:
        ValueError: a key is neither.
    """
    if isinstance(group, list):
        return group
    for key in group:
        if type(key) not in (str, int):
            raise ValueError(f"has the key {key!r}, which is not a text; put it in quotes")
    return group.values()


class PlainLoader(yaml.SafeLoader):
    """YAML loader whose words have JSON's meaning."""

    yaml_implicit_resolvers = {}  # noqa: RUF012


class PlainDumper(yaml.SafeDumper):
    """YAML dumper that quotes texts which YAML 1.1 or ``PlainLoader`` would read as something else."""


def construct(read: Callable[[str], float], loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    """Construct a number from a YAML node."""
    return read(str(loader.construct_scalar(node)))


def resolve() -> None:
    """Register the words and numbers that ``PlainLoader`` and ``PlainDumper`` recognise."""
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
