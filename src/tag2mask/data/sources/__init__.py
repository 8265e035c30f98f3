"""Sources: data sets in other layouts.

A new source is a file here and a line in ``SOURCES``, or an entry point ``tag2mask.sources`` of another package
(docs/plugins.md).
Training does not read them: ``tag2mask prepare`` converts them to the ``folder`` form, which all other commands read.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tag2mask.data.sources.ade20k import Ade20k
from tag2mask.data.sources.coco import Coco
from tag2mask.data.sources.coco_json import CocoJson
from tag2mask.data.sources.dfc2020 import Dfc2020
from tag2mask.data.sources.endotect import EndoTect
from tag2mask.data.sources.huggingface import HuggingFace
from tag2mask.data.sources.imagefolder import ImageFolder
from tag2mask.data.sources.labelme import LabelMe
from tag2mask.data.sources.record import Record, Source
from tag2mask.data.sources.table import TableSource
from tag2mask.data.sources.voc import Voc
from tag2mask.data.sources.yolo import Yolo
from tag2mask.errors import DataError, SettingsError
from tag2mask.registry import Registry
from tag2mask.settings import Settings

__all__ = ["SOURCES", "Record", "Source", "open_source"]


def fault_of_source(found: Any) -> str:
    """Say why an entry point cannot be a source; empty if it can."""
    if not (isinstance(found, type) and issubclass(found, Source)):
        return "is not a subclass of Source"
    missing = [*sorted(found.__abstractmethods__), *(() if hasattr(found, "layout") else ["layout"])]
    if missing:
        return f"lacks {', '.join(missing)}"
    settings = found.settings_class
    is_settings = isinstance(settings, type) and issubclass(settings, Settings)
    return "" if is_settings else "has a settings_class that is not a subclass of tag2mask.settings.Settings"


SOURCES: Mapping[str, type[Source]] = Registry(
    "tag2mask.sources",
    {
        "voc": Voc,
        "coco": Coco,
        "ade20k": Ade20k,
        "dfc2020": Dfc2020,
        "endotect": EndoTect,
        "coco-json": CocoJson,
        "labelme": LabelMe,
        "imagefolder": ImageFolder,
        "csv": TableSource,
        "huggingface": HuggingFace,
        "yolo": Yolo,
    },
    fault_of_source,
)


def open_source(name: str, root: Path, settings: Mapping[str, Any]) -> Source:
    """Open a data set in the layout ``name``.

    Raises:
        SettingsError: the source or a setting is unknown.
        DataError: ``root`` does not have that layout.
    """
    if name not in SOURCES:
        near = difflib.get_close_matches(name, SOURCES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(SOURCES)}"
        raise SettingsError(f"source {name!r} is unknown; {hint}")
    source = SOURCES[name]
    chosen = source.settings_class.parse(settings, where=f"source {name}")
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "the folder does not exist"
        raise DataError(f"{root}: {what}; expected: {source.layout}")
    return source(root, chosen)
