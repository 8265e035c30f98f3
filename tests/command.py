"""The command line, called in this process."""

from __future__ import annotations

import sys

import pytest

from tag2mask.cli import main

# Words of a training that takes a second.
SMALL = [
    f"--set={text}"
    for text in (
        "backbone.patch=8",
        "backbone.width=24",
        "backbone.depth=2",
        "backbone.heads=3",
        "method.map_layers=2",
        "method.attended_layers=2",
    )
]
SMALL += ["--backbone=vit_tiny_patch16_224", "--weights=none", "--image-size=32", "--batch-size=4", "--precision=fp32"]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run ``tag2mask`` with these words; its exit code."""
    monkeypatch.setattr(sys, "argv", ["tag2mask", *map(str, arguments)])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
