"""Photographs and their tags. A new source is a file here and a line in ``SOURCES``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from tag2mask.data.classes import Classes
from tag2mask.data.folder import open_folder
from tag2mask.data.sample import Dataset, Sample
from tag2mask.data.settings import DataSettings
from tag2mask.errors import SettingsError

__all__ = ["SOURCES", "Classes", "DataSettings", "Dataset", "Sample", "open_dataset"]

SOURCES: Mapping[str, Callable[[Path, DataSettings, str | None], Dataset]] = MappingProxyType({"folder": open_folder})


def open_dataset(root: Path, settings: DataSettings, split: str | None = None) -> Dataset:
    """The photographs of one split of a data set, or all of them (None or ``all``).

    Raises:
        SettingsError: the source is unknown.
        DataError: the data cannot be used.
    """
    if settings.source not in SOURCES:
        raise SettingsError(f"source {settings.source!r} is unknown; there are {', '.join(SOURCES)}")
    return SOURCES[settings.source](root, settings, split)
