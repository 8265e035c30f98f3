"""The programs in docs/other_trainers.md run from top to bottom, on generated images and their masks."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tag2mask

PAGE = Path(__file__).parents[1] / "docs/other_trainers.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
NEEDED = {
    "torchvision": "torchvision.pth",
    "segmentation_models_pytorch": "unet/*.safetensors",
    "ultralytics": "runs/**/best.pt",
}


@pytest.mark.parametrize(("package", "result"), NEEDED.items())
def test_a_trainer_learns_from_converted_masks(package: str, result: str, masks: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not there: pip install {package.replace('_', '-')}")
    [program] = [text for text in PROGRAMS if re.search(rf"^(from|import) {package}\b", text, re.MULTILINE)]
    (tmp_path / "photos").symlink_to(tmp_path / "squares")
    tag2mask.convert(masks, "png", tmp_path / "masks-png")
    (tmp_path / "masks").rename(tmp_path / "painted")
    (tmp_path / "masks-png").rename(tmp_path / "masks")
    tag2mask.convert(tmp_path / "painted", "yolo", tmp_path / "yolo")
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "YOLO_CONFIG_DIR": str(tmp_path), "YOLO_OFFLINE": "true"}
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(tmp_path.glob(result))
    if package != "ultralytics":
        assert re.search(r"epoch 1: loss \d+\.\d+", done.stdout)
