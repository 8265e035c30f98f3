"""Checks for output folders that can be resumed; each first records what it was begun for.

Training, mask sets, probes, comparisons and whole runs all open a folder this way. It must be vacant, or begun for the
same purpose; in that case, finished parts are kept and the rest is made.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from tag2mask.errors import RunError, Tag2MaskError
from tag2mask.files import vacant
from tag2mask.settings import differences

ELSEWHERE = "choose another --out"
ANEW = "choose another --out or delete it"


def require_vacant(out: Path, mend: str = ELSEWHERE, error: type[Tag2MaskError] = RunError) -> None:
    """Check that ``out`` is vacant.

    Raises:
        ``error``: it is not; ``mend`` says what to do.
    """
    if not vacant(out):
        raise error(f"{out} is {'not empty' if out.is_dir() else 'a file, not a folder'}; {mend}")


def require_begun_as(
    out: Path,
    before: Mapping[str, Any],
    wanted: Mapping[str, Any],
    mend: str = ANEW,
    error: type[Tag2MaskError] = RunError,
    ignored: Container[str] = (),
    missing: Any = None,
) -> None:
    """Check that ``out`` was begun with the settings ``wanted`` now.

    Keys in ``ignored`` may differ; ``missing`` is the value of keys that are not set.

    Raises:
        ``error``: a setting has another value; ``mend`` says what to do.
    """
    for key, was, now in differences(before, wanted, missing):
        if key not in ignored:
            raise error(f"{out} was begun with {key} = {was}, not {now}; {mend}")
