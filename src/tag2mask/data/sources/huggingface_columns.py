"""The kinds of columns in a data set of the ``datasets`` library, from its description or its types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tag2mask.errors import DataError
from tag2mask.notation import from_json, from_yaml

LISTS = frozenset({"List", "LargeList", "Sequence"})  # Sequence up to version 3 of the library
WHOLE = re.compile(r"u?int(8|16|32|64)")
CARD_LISTS = ("list", "large_list", "sequence")


@dataclass(frozen=True)
class Column:
    """A column of images, class indices into ``names``, texts or integers; all but images may be lists."""

    kind: Literal["image", "class", "text", "number", "other"]
    names: tuple[str, ...] = ()


OTHER = Column("other")


def columns_of(path: Path, root: Path, schema: Any) -> dict[str, Column]:
    """Return a file's columns, from ``dataset_info.json`` beside it, its metadata, ROOT/README.md, or else its types.

    Raises:
        DataError: the description cannot be read.
    """
    info, card = path.with_name("dataset_info.json"), root / "README.md"
    own = (schema.metadata or {}).get(b"huggingface")
    described: dict[str, Column] = {}
    where = info if info.is_file() else path if own else card
    try:
        if info.is_file():
            described = of_features(from_json(info.read_bytes())["features"])
        elif own:
            described = of_features(from_json(own)["info"]["features"])
        elif card.is_file():
            described = of_card(card.read_text(encoding="utf-8-sig"))
    except (ValueError, LookupError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise DataError(f"{where}: its features cannot be parsed ({' '.join(str(error).split())})") from None
    stored = {name: column for field in schema for name, column in of_type(field.name, field.type).items()}
    return {name: resolve_column(described.get(name), column) for name, column in stored.items()}


def resolve_column(described: Column | None, stored: Column) -> Column:
    """Return the described column; images must also be stored as images, since bare bytes or paths are not read."""
    if described is None:
        return stored
    return OTHER if described.kind == "image" and stored.kind != "image" else described


def of_features(features: Mapping[str, Any] | None) -> dict[str, Column]:
    """Return the columns of features in the library's JSON."""
    return merge_columns(of_feature(name, feature) for name, feature in (features or {}).items())


def merge_columns(parts: Iterable[dict[str, Column]]) -> dict[str, Column]:
    """Merge dictionaries of columns."""
    return {name: column for part in parts for name, column in part.items()}


def of_feature(name: str, feature: Any) -> dict[str, Column]:
    """Return one column of a feature, or the parts of a nested one: ``objects.category``."""
    if isinstance(feature, list):  # old versions write lists as [feature]
        return in_list(of_feature(name, feature[0]))
    kind = feature.get("_type")
    if not isinstance(kind, str):  # a group; one of its parts may be named _type
        return merge_columns(of_feature(f"{name}.{part}", inner) for part, inner in feature.items())
    if kind in LISTS:
        return in_list(of_feature(name, feature["feature"]))
    if kind == "ClassLabel":
        return {name: Column("class", tuple(feature["names"]))}
    if kind == "Image":
        return {name: Column("image")}
    return {name: of_word(str(feature.get("dtype"))) if kind == "Value" else OTHER}


def of_word(dtype: str) -> Column:
    """Return the column of a plain type, by its name."""
    if dtype in ("string", "large_string"):
        return Column("text")
    return Column("number") if WHOLE.fullmatch(dtype) else OTHER


def in_list(inner: dict[str, Column]) -> dict[str, Column]:
    """Return the columns of a list; lists of images are not supported."""
    return {name: OTHER if column.kind == "image" else column for name, column in inner.items()}


def of_card(text: str) -> dict[str, Column]:
    """Return the columns in the YAML header of a README, if it describes a single configuration."""
    parts = text.split("---\n", 2)
    head = parts[1] if len(parts) == 3 and not parts[0].strip() else ""
    info = (from_yaml(head.encode()) or {}).get("dataset_info")
    if isinstance(info, list):
        info = info[0] if len(info) == 1 else None
    return merge_columns(of_card_row(row["name"], row) for row in (info or {}).get("features") or ())


def of_card_row(name: str, row: Mapping[str, Any]) -> dict[str, Column]:
    """Return one column of a README's feature, or the parts of a nested one."""
    for word in CARD_LISTS:
        if word in row:
            return in_list(of_card_inner(name, row[word]))
    return of_card_inner(name, row["struct"] if "struct" in row else row.get("dtype"))


def of_card_inner(name: str, kind: Any) -> dict[str, Column]:
    """Return the columns for the value of ``dtype``, ``struct`` or a word for lists."""
    if isinstance(kind, list):
        return merge_columns(of_card_row(f"{name}.{row['name']}", row) for row in kind)
    if isinstance(kind, dict) and "class_label" in kind:
        names = kind["class_label"]["names"]
        return {name: Column("class", tuple(str(names[key]) for key in sorted(names, key=int)))}
    if isinstance(kind, dict):
        return of_card_row(name, kind)
    return {name: Column("image") if kind == "image" else of_word(str(kind))}


def of_type(name: str, kind: Any) -> dict[str, Column]:
    """Return the columns of an Arrow type: images are ``{bytes, path}``, other structs have parts."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return in_list(of_type(name, kind.value_type))
    if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return {name: Column("image")}
    if types.is_struct(kind):
        return merge_columns(of_type(f"{name}.{field.name}", field.type) for field in kind)
    return {name: Column("number") if types.is_integer(kind) else of_word(str(kind))}


def value_of(cell: Any, parts: Sequence[str]) -> Any:
    """Return the value of a part of a nested column; for a list of groups, the list of their values."""
    for number, part in enumerate(parts):
        if isinstance(cell, list):
            return [value_of(inner, parts[number:]) for inner in cell]
        if cell is None:
            return None
        cell = cell[part]
    return cell
