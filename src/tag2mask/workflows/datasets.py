"""Commands about data sets, which do not need torch: check, prepare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tag2mask.data import DataSettings
from tag2mask.data.check.folder import check as check_folder
from tag2mask.data.check.names import check_names
from tag2mask.data.check.report import CheckReport
from tag2mask.data.check.source import check_source
from tag2mask.data.folder import is_class_folders
from tag2mask.data.sources import open_source
from tag2mask.data.sources import prepare as preparation
from tag2mask.data.sources.prepare import Prepared, PrepareSettings
from tag2mask.errors import SettingsError
from tag2mask.progress import progress_bar
from tag2mask.settings import assign


def check(data: Path, source: str | None, quick: bool, assignments: Sequence[str]) -> CheckReport:
    """Check a data set in the folder form or in the layout of a source.

    Raises:
        SettingsError: ``quick`` is used with a source or class folders, or a setting is unknown or wrong.
        DataError: the data set cannot be opened.
    """
    if quick and source is not None:
        raise SettingsError("--quick checks only the folder form; remove --source")
    if source is None:
        settings = DataSettings.read({}, [one.removeprefix("data.") for one in assignments])  # their name in train
        if quick and is_class_folders(data, settings.completed(data)):
            raise SettingsError("--quick reads a table of tags; remove it to check class folders")
        with progress_bar("check", None) as bar:
            return (check_names if quick else check_folder)(data, settings, bar.advance)
    opened = open_source(source, data, assign({}, assignments))
    with progress_bar("check", len(opened.names())) as bar:
        return check_source(opened, bar.advance)


def prepare(source: str, root: Path, out: Path, settings: PrepareSettings, assignments: Sequence[str]) -> Prepared:
    """Convert a source to a folder; ``assignments`` are settings of the source."""
    return preparation.prepare(source, root, out, assign({}, assignments), settings)
