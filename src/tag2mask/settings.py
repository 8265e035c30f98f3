"""The base of all settings classes: they are frozen, and unknown keys raise an error that names the nearest key."""

from __future__ import annotations

import copy
import difflib
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from tag2mask.errors import SettingsError
from tag2mask.fields import Form, Setting, group_of, settings_of
from tag2mask.notation import from_word, from_yaml
from tag2mask.recipes import read_recipe

LARGEST = {int: 2**63 - 1, float: 3.4e38}  # limits of torch's int64 and float32
SMALLEST_SCALE, LARGEST_SCALE = 0.01, 32
LARGEST_SIDE = 8192
PYDANTIC = "Input should be "  # how most of pydantic's messages begin
KINDS = {  # what is wanted, by the type of pydantic's error
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("dict_type", "model_type", "dataclass_type"), "a dictionary"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    "string_type": "text",
}
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 120


def require_usable_scales(scales: tuple[float, ...]) -> tuple[float, ...]:
    """Check that there is at least one scale, and that all are within limits that keep images usable."""
    if not scales or not all(SMALLEST_SCALE <= scale <= LARGEST_SCALE for scale in scales):
        raise ValueError(f"expected one scale or more, all from {SMALLEST_SCALE} to {LARGEST_SCALE}")
    return scales


def parse_scales(scales: Any) -> Any:
    """Turn a text with commas, or a single number, into a list of scales."""
    if isinstance(scales, str):
        return [from_word(scale) for scale in scales.split(",")]
    return [scales] if isinstance(scales, int | float) else scales


Scales = Annotated[
    tuple[float, ...], BeforeValidator(parse_scales), AfterValidator(require_usable_scales), Form("NUMBER,NUMBER,...")
]
PretrainedWeights = Annotated[str, Form("hub|FILE|none")]
Rate = Annotated[float, Field(gt=0, le=100)]  # learning rate; torch multiplies it in float32
# Larger values can only be typing errors, and are found before anything is built.
Side = Annotated[int, Field(gt=0, le=LARGEST_SIDE)]  # side of images and crops, in pixels
Epochs = Annotated[int, Field(gt=0, le=100_000)]
BatchSize = Annotated[int, Field(gt=0, le=16_384)]
Patches = Annotated[int, Field(gt=0, le=1_000_000)]
Bands = Annotated[int, Field(gt=0, le=10_000)]


@dataclass(frozen=True)
class Shorthand:
    """A key that sets other keys: the form of its value, its description, and the keys and values that it sets."""

    form: str
    description: str
    read: Callable[[str], Mapping[str, Any]]


class Settings(BaseModel):
    """Base of all settings; built from plain dicts with ``parse``, from command-line words with ``read``.

    ``called`` is the name of the class in messages and recipes. ``moved`` maps dotted keys of older versions, or
    ``GROUP.*`` for all keys of a group, to the present ones. ``shorthands`` are keys that only ``read`` accepts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    called: ClassVar[str] = "settings"
    moved: ClassVar[Mapping[str, str]] = MappingProxyType({})
    shorthands: ClassVar[Mapping[str, Shorthand]] = MappingProxyType({})

    @model_validator(mode="before")
    @classmethod
    def relocate(cls, values: Any) -> Any:
        """Move settings from the keys of older versions to the present ones, unless an old key is now a group."""
        if not isinstance(values, Mapping) or not cls.moved:
            return values
        kept = copy.deepcopy(dict(values))
        for old, new in cls.moved.items():
            if old.endswith(".*") or (old in cls.model_fields and isinstance(kept.get(old), Mapping | Settings)):
                continue
            for value in take(kept, old):
                now: dict[str, Any] = {}
                set_dotted(now, new, value)
                merge_settings(kept, now)
        return kept

    @classmethod
    def key_now(cls, key: str) -> str:
        """Return the present name of a dotted key of an older version; other keys stay."""
        for old, new in cls.moved.items():
            whole, below = old.removesuffix(".*"), old.endswith(".*") or old not in cls.model_fields
            if (key == old) or (below and key.startswith(f"{whole}.")):
                return new.removesuffix(".*") + key.removeprefix(whole)
        name, _, rest = key.partition(".")
        group = group_of(cls.model_fields[name].annotation) if rest and name in cls.model_fields else None
        return f"{name}.{group.key_now(rest)}" if group is not None and issubclass(group, Settings) else key

    @classmethod
    def listed(cls) -> list[Setting]:
        """Return all settings with their form, default and description, then the shorthands."""
        short = [Setting(name, None, one.form, False, None, one.description) for name, one in cls.shorthands.items()]
        return [*settings_of(cls), *short]

    @field_validator("*")
    @classmethod
    def finite(cls, value: Any) -> Any:
        """Check that a number, or every number of a list, is finite and fits torch's types."""
        for number in value if isinstance(value, tuple) else (value,):
            largest = LARGEST.get(type(number))
            if largest is not None and not abs(number) <= largest:
                raise ValueError(f"expected a finite number, {largest:.3g} at most")
        return value

    @classmethod
    def parse(cls, values: Mapping[str, Any], where: str = "settings") -> Self:
        """Validate ``values``.

        Raises:
            SettingsError: a key is unknown (the message names the nearest one) or a value has the wrong type.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            if first["type"] != "extra_forbidden":
                raise SettingsError(f"{where}: {complaint(key, first)}") from None
            if isinstance(first["input"], Mapping) and first["input"]:  # a group
                key += f".{next(iter(first['input']))}"
            known = [setting.key for setting in settings_of(cls)]
            near = nearest(key, known)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(known) or 'none'}"
            raise SettingsError(f"{where}: unknown setting {key}{hint}") from None

    @classmethod
    def read(
        cls,
        options: Mapping[str, Any],
        assignments: Sequence[str] = (),
        recipe: str | None = None,
        config: Path | None = None,
    ) -> Self:
        """Combine defaults, a recipe, a YAML file, options by dotted key or shorthand, and ``KEY=VALUE`` assignments.

        Later ones override earlier ones.

        Raises:
            SettingsError: the recipe does not exist or has no settings for this, the file cannot be read, an assignment
                has no ``=``, or a setting is unknown or wrong.
        """
        values = {} if recipe is None else read_recipe(recipe).of(cls.called)
        if config is not None:
            merge_settings(values, read_yaml(config))
        for key, value in options.items():
            meant = cls.shorthands[key].read(value) if key in cls.shorthands else {key: value}
            for name, one in meant.items():
                set_dotted(values, cls.key_now(name), one)
        return cls.parse(assign(values, assignments, cls), where=cls.called if config is None else str(config))


def complaint(key: str, details: ErrorDetails) -> str:
    """Return what is wrong with the value of ``key``; checks of whole groups name the key in their own message."""
    if details["type"] == "missing":
        return f"{key!r} is missing"
    reason = str(details["ctx"]["error"]) if details["type"] == "value_error" else details["msg"]
    if details["type"] in KINDS:
        reason = f"expected {KINDS[details['type']]}"
    elif reason.startswith(PYDANTIC):
        wanted = reason.removeprefix(PYDANTIC)
        reason = f"expected {'a number ' if wanted.startswith(('greater', 'less')) else ''}{wanted}"
    if not isinstance(details["input"], Mapping):
        reason += f", got {SHORT.repr(details['input'])}"
    return f"{key}: {reason}" if key else reason


def nearest(key: str, known: Sequence[str]) -> list[str]:
    """Return the known keys of the group of ``key`` that continue its last part after a "_", or else the nearest key.

    Nearest is the most similar one as a whole, in its last part or in its group. A key without a group may be of any.
    """
    meant: dict[str, str] = {}
    for name in known:
        group, _, last = name.rpartition(".")
        meant |= {name: name, last: meant.get(last, name), group: f"{group}.KEY"}
    group, _, last = key.rpartition(".")
    groups = {name.rpartition(".")[0] for name in known}
    within = difflib.get_close_matches(group, groups, n=1) if group else groups
    continued = [
        name for name in known if name.rpartition(".")[0] in within and name.rpartition(".")[2].startswith(f"{last}_")
    ]
    if continued:
        return continued
    near = difflib.get_close_matches(key, meant, n=1)
    return [meant[one] for one in near]


def assign(values: dict[str, Any], assignments: Sequence[str], settings: type[Settings] = Settings) -> dict[str, Any]:
    """Set ``KEY=VALUE`` assignments in nested values of the class ``settings``, and return the values.

    Raises:
        SettingsError: an assignment has no key or no ``=``.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not all(part.strip() for part in key.split(".")):
            raise SettingsError(f"--set {assignment}: expected KEY=VALUE, such as epochs=8")
        set_dotted(values, settings.key_now(key.strip()), from_word(text))
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping."""
    try:
        content = from_yaml(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise SettingsError(f"{path}: is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: holds no settings; expected lines such as epochs: 8")
    return content


def set_dotted(values: dict[str, Any], key: str, value: object) -> None:
    """Set a dotted key in nested values."""
    *path, last = key.split(".")
    for part in path:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"setting {key}: {part} is a value, not a group")
        values = inner
    if isinstance(values.get(last), dict) and not isinstance(value, dict):
        raise SettingsError(f"setting {key}: is a group, not a value; set one of {', '.join(values[last])}")
    values[last] = value


def take(values: dict[str, Any], key: str) -> list[Any]:
    """Remove a dotted key and return its value in a list, empty if it is not set; empty groups are removed too."""
    first, _, rest = key.partition(".")
    if first not in values:
        return []
    if not rest:
        return [values.pop(first)]
    inner = values[first]
    found = take(inner, rest) if isinstance(inner, dict) else []
    if found and not inner:
        del values[first]
    return found


def merge_settings(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Merge ``changes`` into ``values``, groups key by key."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            merge_settings(values[key], value)
        else:
            values[key] = value


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], missing: Any = None
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted keys whose values differ, with old and new values; ``missing`` is the value of unset keys."""
    was, wanted = flat(before), flat(now)
    for key in {**was, **wanted}:
        old, new = was.get(key, missing), wanted.get(key, missing)
        if old != new:
            yield key, old, new


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted keys."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found
