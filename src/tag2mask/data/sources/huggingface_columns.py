"""What the columns of a data set of the ``datasets`` library hold, as far as somebody has written it down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from tag2mask.errors import DataError

LISTS = frozenset({"List", "LargeList", "Sequence"})  # the last one up to version 3 of the library
CARD_LISTS = ("list", "large_list", "sequence")


@dataclass(frozen=True)
class Column:
    """Images, indices into ``names`` of classes, or texts; the latter two one or a list a row."""

    kind: Literal["image", "class", "text", "other"]
    names: tuple[str, ...] = ()


OTHER = Column("other")


def columns_of(path: Path, root: Path, schema: Any) -> dict[str, Column]:
    """The columns of a file, from ``dataset_info.json`` beside it, its own metadata or ROOT/README.md, else its types.

    Raises:
        DataError: what is written down there cannot be read.
    """
    info, card = path.with_name("dataset_info.json"), root / "README.md"
    own = (schema.metadata or {}).get(b"huggingface")
    described: dict[str, Column] = {}
    where = info if info.is_file() else path if own else card
    try:
        if info.is_file():
            described = of_features(json.loads(info.read_text(encoding="utf-8"))["features"])
        elif own:
            described = of_features(json.loads(own)["info"]["features"])
        elif card.is_file():
            described = of_card(card.read_text(encoding="utf-8-sig"))
    except (ValueError, KeyError, TypeError, AttributeError, OSError, yaml.YAMLError) as error:
        raise DataError(f"{where}: its features cannot be understood ({' '.join(str(error).split())})") from None
    return {field.name: agreed(described.get(field.name), of_type(field.type)) for field in schema}


def agreed(described: Column | None, stored: Column) -> Column:
    """What is written down, but images have to be stored as such: bare bytes or paths are not read."""
    if described is None:
        return stored
    return OTHER if described.kind == "image" and stored.kind != "image" else described


def of_features(features: Mapping[str, Any] | None) -> dict[str, Column]:
    """From the library's JSON."""
    return {name: of_feature(feature) for name, feature in (features or {}).items()}


def of_feature(feature: Any) -> Column:
    """One column."""
    if isinstance(feature, list):  # [feature], as old versions write lists
        return in_list(of_feature(feature[0]))
    kind = feature.get("_type")
    if kind in LISTS:
        return in_list(of_feature(feature["feature"]))
    if kind == "ClassLabel":
        return Column("class", tuple(feature["names"]))
    if kind == "Image":
        return Column("image")
    return Column("text") if feature.get("dtype") in ("string", "large_string") else OTHER


def in_list(inner: Column) -> Column:
    """Lists of classes or texts are of use, others are not."""
    return inner if inner.kind in ("class", "text") else OTHER


def of_card(text: str) -> dict[str, Column]:
    """From the YAML between two lines ``---`` at the top of a README, if it is of a single configuration."""
    parts = text.split("---\n", 2)
    info = (yaml.safe_load(parts[1]) or {}).get("dataset_info") if len(parts) == 3 and not parts[0].strip() else None
    if isinstance(info, list):
        info = info[0] if len(info) == 1 else None
    return {row["name"]: of_card_row(row) for row in (info or {}).get("features") or ()}


def of_card_row(row: Mapping[str, Any]) -> Column:
    """One column."""
    for word in CARD_LISTS:
        if word in row:
            return in_list(of_card_row({"dtype": row[word]}))
    kind = row.get("dtype")
    if isinstance(kind, dict) and "class_label" in kind:
        names = kind["class_label"]["names"]
        return Column("class", tuple(str(names[key]) for key in sorted(names, key=int)))
    return Column("image") if kind == "image" else Column("text") if kind == "string" else OTHER


def of_type(kind: Any) -> Column:
    """From an Arrow type alone: images are ``{bytes, path}``."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind):
        return in_list(of_type(kind.value_type))
    if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        return Column("image")
    return Column("text") if types.is_string(kind) or types.is_large_string(kind) else OTHER
