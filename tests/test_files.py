"""Folders that one process writes to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tag2mask.errors import RunError
from tag2mask.files import held


def test_what_stays_empty_goes_again_and_what_does_not_stays(tmp_path: Path) -> None:
    with held(tmp_path / "a/b"):
        assert (tmp_path / "a/b").is_dir()
    assert not (tmp_path / "a").exists()
    with held(tmp_path / "a/b"):
        (tmp_path / "a/file").write_text("kept")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]
    (tmp_path / "mine").mkdir()
    with held(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").is_dir()


def test_another_process_is_told_so(tmp_path: Path) -> None:
    call = (
        f"from pathlib import Path; from tag2mask.files import held; held(Path({str(tmp_path / 'out')!r})).__enter__()"
    )
    with held(tmp_path / "out"):
        second = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=False)
    assert "out is in use by another tag2mask; let that one end" in second.stderr
    assert subprocess.run([sys.executable, "-c", call], check=False).returncode == 0


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RunError, match="out is a file; choose another --out"), held(tmp_path / "out"):
        pass
    assert (tmp_path / "out").read_text() == "mine"
