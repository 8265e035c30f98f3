"""The wheel that ``make dist`` built: it is whole, and works in a fresh environment, away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from command import SMALL
from tag2mask._version import __version__

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "src/tag2mask"
HALVES = "import sys; from pathlib import Path; from tag2mask.synthetic.halves import write_halves; "
HALVES += "write_halves(Path('halves'), {'train': 12, 'val': 6})"

pytestmark = pytest.mark.dist


@pytest.fixture(scope="module")
def wheel() -> Path:
    found = list((ROOT / "dist").glob(f"tag2mask-{__version__}-*.whl"))
    if not found:
        pytest.skip("there is no wheel: run make dist")
    return found[0]


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel, which sees the packages of this one but not its tag2mask."""
    root = tmp_path_factory.mktemp("fresh")
    venv.create(root, with_pip=False)
    programs = root / ("Scripts" if os.name == "nt" else "bin")
    python = programs / Path(sys.executable).name
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True)
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", "src/tag2mask"], cwd=ROOT, check=True, capture_output=True, text=True)
    wanted = {name.removeprefix("src/") for name in tracked.stdout.splitlines()}
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == wanted
    assert {"tag2mask/py.typed", "tag2mask/recipes/voc-weaktr.yaml", "tag2mask/reports/page.html.j2"} <= found


def test_it_works_away_from_the_checkout(programs: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(program: str, *words: str) -> str:
        command = [programs / program, *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    python = Path(sys.executable).name
    assert str(programs.parent) in call(python, "-c", "import tag2mask; print(tag2mask.__file__)")
    found = json.loads(call("tag2mask", "doctor", "--json"))
    assert found["system"]["tag2mask"] == __version__
    assert found["broken"] == {}
    assert "voc-weaktr" in call("tag2mask", "recipes")
    call(python, "-c", HALVES)
    call("tag2mask", "train", "halves", "--out", "run", "--epochs", "1", *SMALL)
    call("tag2mask", "masks", "run")
    assert "mIoU" in call("tag2mask", "evaluate", "run/masks-train", "--truth", "halves/masks")
    call("tag2mask", "report", "run")
    assert "halves" in (tmp_path / "run/report.html").read_text(encoding="utf-8")
    call("tag2mask", "export", "run", "--format", "hub", "--out", "published")
    assert (tmp_path / "published/README.md").read_text(encoding="utf-8").startswith("---\nlibrary_name: tag2mask")
