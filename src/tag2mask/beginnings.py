"""Folders that are gone on with: what one was begun to become stands in it before anything else.

Training, mask sets, probes, comparisons and whole runs all open a folder this way. It is vacant, or it was begun for
the same thing; then what is finished stays and the rest is made.
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
    """Something new can be made in ``out``.

    Raises:
        ``error``: something is there; ``mend`` says what to do.
    """
    if not vacant(out):
        raise error(f"{out} is not empty; {mend}")


def require_begun_as(
    out: Path,
    before: Mapping[str, Any],
    wanted: Mapping[str, Any],
    mend: str = ANEW,
    error: type[Tag2MaskError] = RunError,
    ignored: Container[str] = (),
    missing: Any = None,
) -> None:
    """``out`` was begun to become what is wanted now.

    Keys that are ``ignored`` may differ; ``missing`` stands for the value of a key that is not there.

    Raises:
        ``error``: one of them has another value; ``mend`` says what to do.
    """
    for key, was, now in differences(before, wanted, missing):
        if key not in ignored:
            raise error(f"{out} was begun with {key} = {was}, not {now}; {mend}")
