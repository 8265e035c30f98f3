from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tag2mask import threads
from tag2mask.threads import choose_threads, cores_in


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No limit, and 8 cores."""
    monkeypatch.setattr(threads, "bound_cores", lambda: 8)
    return tmp_path


@pytest.mark.parametrize(
    ("limit", "processes", "count"),
    [("200000 100000", "1", "2"), ("200000 100000", "4", "1"), ("50000 100000", "1", "1"), ("350000 100000", "1", "3")],
)
def test_a_containers_limit_is_the_number_of_threads(cgroup: Path, limit: str, processes: str, count: str) -> None:
    (cgroup / "cpu.max").write_text(f"{limit}\n")
    environment = {"LOCAL_WORLD_SIZE": processes}
    choose_threads(environment, cgroup)
    assert environment["OMP_NUM_THREADS"] == count


@pytest.mark.parametrize("limit", ["max 100000", "1600000 100000", "damaged", "1 0"])
def test_without_a_lower_limit_openmp_counts_the_cores(cgroup: Path, limit: str) -> None:
    (cgroup / "cpu.max").write_text(limit)
    environment: dict[str, str] = {}
    choose_threads(environment, cgroup)
    assert environment == {"OMP_WAIT_POLICY": "passive"}


def test_both_versions_of_control_groups(tmp_path: Path) -> None:
    assert cores_in(tmp_path) is None
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    for quota, cores in (("-1\n", None), ("150000\n", 1.5)):
        (tmp_path / "cpu/cpu.cfs_quota_us").write_text(quota)
        assert cores_in(tmp_path) == cores


def test_what_the_user_set_stays(cgroup: Path) -> None:
    (cgroup / "cpu.max").write_text("100000 100000")
    for own in ({"OMP_WAIT_POLICY": "active", "OMP_NUM_THREADS": "5"}, {"GOMP_SPINCOUNT": "9", "OMP_NUM_THREADS": "5"}):
        environment = dict(own)
        choose_threads(environment, cgroup)
        assert environment == own


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have another OpenMP")
def test_torch_is_imported_after_the_choice() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    call = [sys.executable, "-c", "import tag2mask; from tag2mask import train"]
    said = subprocess.run(
        call, env=environment | {"OMP_DISPLAY_ENV": "true"}, capture_output=True, text=True, check=True
    ).stderr
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in said
    assert "OMP_WAIT_POLICY = 'ACTIVE'" not in said
