"""The page's modules that need no browser, under node."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PAGE = Path(__file__).parent / "page"
NODE = shutil.which("node")
OLDEST = (20, 19)  # the first that recognises modules by their syntax


def node_version() -> tuple[int, ...]:
    if NODE is None:
        return (0,)
    done = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=False)
    return tuple(int(part) for part in done.stdout.strip().lstrip("v").split("."))


def pillow_files() -> list[dict[str, object]]:
    """Masks as Pillow and the server write them: smooth (all filters), indexed, 16 bit."""
    rows, columns = np.mgrid[0:40, 0:51]
    smooth = ((rows * columns // 7 + rows) % 250).astype(np.uint8)
    indexed = Image.fromarray(smooth)
    indexed.putpalette([value for i in range(256) for value in (i, 255 - i, 7)])
    images = [Image.fromarray(smooth), indexed, Image.fromarray(smooth.astype(np.uint16) * 257)]
    return [described(image) for image in images]


def described(image: Image.Image) -> dict[str, object]:
    file = io.BytesIO()
    image.save(file, "png")
    data = np.asarray(image).ravel().tolist()
    return {"png": base64.b64encode(file.getvalue()).decode(), "width": image.width, "data": data}


@pytest.mark.skipif(node_version() < OLDEST, reason="node 20.19 or newer is not installed")
@pytest.mark.parametrize("file", sorted(PAGE.glob("*.test.mjs")), ids=lambda path: path.stem.split(".")[0])
def test_modules_pass_under_node(file: Path) -> None:
    environment = {**os.environ, "PILLOW_FILES": json.dumps(pillow_files())}
    done = subprocess.run(
        [str(NODE), "--test", str(file)], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
