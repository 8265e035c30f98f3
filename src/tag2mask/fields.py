"""The settings of a settings class, each with its key, form, default and description."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

F = TypeVar("F", bound=Callable[..., Any])

FORMS: Mapping[Any, str] = {bool: "true|false", int: "INTEGER", float: "NUMBER", str: "TEXT"}


@dataclass(frozen=True)
class Form:
    """How a value is written on the command line; used in ``Annotated`` where the type does not show it."""

    text: str


@dataclass(frozen=True)
class Setting:
    """One setting: its dotted ``key``, type (``kind``), ``form`` of values, ``default`` and ``description``.

    ``nullable``: ``null`` is also a value. A ``description`` that ends in ``[...]`` states the default itself, where
    ``default`` does not show it.
    """

    key: str
    kind: Any
    form: str
    nullable: bool
    default: Any
    description: str

    def shown_default(self) -> str:
        """Return the default as written on the command line; empty if the description states it or it is None."""
        if self.default is None or self.description.endswith("]"):
            return ""
        return format_default(self.default)

    def help(self) -> str:
        """Return the description with the default in brackets."""
        default = self.shown_default()
        return f"{self.description} [{default}]." if default else f"{self.description}."


def settings_of(settings: type[BaseModel]) -> list[Setting]:
    """Return all settings of a class; those of nested groups have dotted keys."""
    defaults = {name: default_of(field) for name, field in settings.model_fields.items()}
    return list(find_settings(settings, "", defaults, ""))


def find_settings(settings: type[BaseModel], prefix: str, defaults: Mapping[str, Any], note: str) -> Iterator[Setting]:
    """Yield the settings of a group with these defaults; ``note`` describes the default of a group that is not set."""
    for name, field in settings.model_fields.items():
        default, about = defaults.get(name), field.description or ""
        group = group_of(field.annotation)
        if group is not None:
            inner = dict(default) if isinstance(default, BaseModel) else {}
            yield from find_settings(group, f"{prefix}{name}.", inner, "" if inner else about)
            continue
        kinds = [kind for kind in alternatives(field.annotation) if kind is not NoneType]
        given = [one.text for one in field.metadata if isinstance(one, Form)]
        yield Setting(
            key=prefix + name,
            kind=plain(kinds[0]) if len(kinds) == 1 else None,
            form="|".join(given or [form_of(kind) for kind in kinds]),
            nullable=len(kinds) < len(alternatives(field.annotation)),
            default=default,
            description=f"{about.partition(' [')[0]} [{note}]" if note else about,
        )


def default_of(field: FieldInfo) -> Any:
    """Return the default of a field, None if it has none."""
    default = field.get_default(call_default_factory=True, validated_data={})
    return None if default is PydanticUndefined else default


def group_of(annotation: Any) -> type[BaseModel] | None:
    """Return the settings class of a field that is a group, optional or not, else None."""
    kinds = [plain(kind) for kind in alternatives(annotation) if kind is not NoneType]
    return kinds[0] if len(kinds) == 1 and isinstance(kinds[0], type) and issubclass(kinds[0], BaseModel) else None


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the types of a union, or the single type."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def plain(kind: Any) -> Any:
    """Return a type without its ``Annotated`` metadata."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def form_of(kind: Any) -> str:
    """Return how a value of a type is written."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        return next((note.text for note in notes if isinstance(note, Form)), form_of(inner))
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"[{form_of(get_args(kind)[0])}, ...]"
    if get_origin(kind) in (Union, UnionType):
        return "|".join(form_of(one) for one in get_args(kind) if one is not NoneType)
    return FORMS.get(kind, "GROUP")


def format_default(value: Any) -> str:
    """Return a default as written on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(format_default, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def without_notes(annotation: Any) -> Any:
    """Return a type without what ``Annotated`` adds, in unions and tuples, too."""
    parts = tuple(without_notes(part) if part is not Ellipsis else part for part in get_args(plain(annotation)))
    if get_origin(plain(annotation)) in (Union, UnionType):
        return Union[parts]  # noqa: UP007 - the parts are known only here
    return tuple[parts] if get_origin(plain(annotation)) is tuple else plain(annotation)  # type: ignore[valid-type]


def takes(settings: type[BaseModel]) -> Callable[[F], F]:
    """Decorate a function whose ``**settings`` are those of a class: its signature and docstring then list them all."""

    def list_settings(function: F) -> F:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default_of(field),
                annotation=without_notes(field.annotation),
            )
            for name, field in settings.model_fields.items()
        ]
        function.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        lines = [f"    {one.key} ({one.form}): {one.help()}" for one in settings_of(settings)]
        text = "\n".join(["Settings; those with a dot are keys of a dictionary:", *lines])
        function.__doc__ = f"{inspect.getdoc(function)}\n\n{text}\n"
        return function

    return list_settings
