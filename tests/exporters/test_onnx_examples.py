"""The programs in docs/examples, which know nothing of tag2mask, paint its masks from an ONNX file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tag2mask

pytest.importorskip("onnxscript", reason="the extra is not there: pip install 'tag2mask[onnx]'")

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
SIZES = ((48, 48), (300, 200), (31, 90), (20, 20))  # own size, many windows, upright, smaller than the crop


@pytest.fixture(scope="session")
def onnx_file(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "student.onnx"
    tag2mask.export(student, path)
    return path


def in_python() -> list[str]:
    return [sys.executable, str(EXAMPLES / "onnx_mask.py")]


def in_javascript() -> list[str]:
    node, packages = shutil.which("node"), os.environ.get("TAG2MASK_NODE")
    if node is None:
        pytest.skip("node is not there")
    if packages is None or not (Path(packages) / "node_modules/onnxruntime-web").is_dir():
        pytest.skip(
            "onnxruntime-web is not there: npm install --prefix DIR onnxruntime-web pngjs, and set TAG2MASK_NODE=DIR"
        )
    return [node, shutil.copy(EXAMPLES / "onnx_mask.mjs", packages)]


@pytest.mark.parametrize("program", [in_python, in_javascript])
def test_an_example_paints_the_same_mask(
    program: Callable[[], list[str]], onnx_file: Path, trained: Path, tmp_path: Path
) -> None:
    command, model, painted = program(), tag2mask.load(onnx_file), set()
    with Image.open(trained / "squares/images/p00.png") as image:
        for size in SIZES:
            image.resize(size).save(tmp_path / "image.png")
            subprocess.run([*command, onnx_file, tmp_path / "image.png", tmp_path / "mask.png"], check=True)
            wanted = np.asarray(model.predict(tmp_path / "image.png"))
            with Image.open(tmp_path / "mask.png") as mask:
                np.testing.assert_array_equal(np.asarray(mask), wanted)
            painted |= set(np.unique(wanted).tolist())
    assert len(painted) > 1
