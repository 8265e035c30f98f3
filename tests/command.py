"""The command line, called in this process."""

from __future__ import annotations

import sys

import pytest

from tag2mask.cli import main


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run ``tag2mask`` with these words; its exit code."""
    monkeypatch.setattr(sys, "argv", ["tag2mask", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
