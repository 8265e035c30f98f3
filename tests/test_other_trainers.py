"""The program for Ultralytics in docs/other_trainers.md; ``tests/pages`` runs the others."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tag2mask
from blocks import ROOT, blocks_of


def test_ultralytics_learns_from_converted_masks(masks: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("ultralytics is not there: pip install ultralytics (AGPL-3.0)")
    [program] = [one.text for one in blocks_of(ROOT / "docs/other_trainers.md") if "import YOLO" in one.text]
    (tmp_path / "photos").symlink_to(tmp_path / "squares")
    tag2mask.convert(masks, "yolo", tmp_path / "yolo")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "YOLO_CONFIG_DIR": str(tmp_path), "YOLO_OFFLINE": "true"}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    assert list(tmp_path.glob("runs/**/best.pt"))
