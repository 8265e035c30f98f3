from __future__ import annotations

import json
from importlib import metadata

import pytest
from packaging.requirements import Requirement

import tag2mask
from command import call
from tag2mask import environment
from tag2mask.vit import hub
from tag2mask.workflows import doctor

GOOD = {"miou": 99.0, "random_miou": 33.0, "seconds": 1.0}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(url: str, timeout: float) -> None:
        assert timeout <= 5
        raise ConnectionError("no route to host")

    monkeypatch.setattr(hub, "get_hf_file_metadata", fail)


def test_a_healthy_installation_learns_paints_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "doctor", "--json") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    found = json.loads(captured.out)
    assert found["broken"] == {}
    assert found["self_test"]["miou"] > 80 > 40 > found["self_test"]["random_miou"]
    assert found["system"]["tag2mask"] == tag2mask.__version__
    assert found["packages"]["torch"] == metadata.version("torch")
    assert found["weights"]["hub"] == "does not answer (no route to host); give a file: --weights FILE"
    assert "cpu" in found["devices"]


def test_a_wrong_result_is_a_fault(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "test_itself", lambda: {**GOOD, "miou": 33.0})
    assert call(monkeypatch, "doctor") == 1
    captured = capsys.readouterr()
    assert "something needed is broken" in captured.out
    assert captured.err.splitlines() == [
        "failed: self-test: mIoU 33.0 instead of at least 80; please report this output"
    ]


def test_missing_old_and_damaged_packages_are_named_and_the_rest_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"timm": None, "numpy": "1.26.0", "rasterio": None}
    known = environment.installed

    def damaged() -> dict[str, str]:
        raise OSError("libtorch_cpu.so: undefined\nsymbol")

    monkeypatch.setattr(environment, "installed", lambda name: versions.get(name, known(name)))
    monkeypatch.setattr(environment, "list_devices", damaged)
    monkeypatch.setattr(doctor, "test_itself", lambda: GOOD)
    found = tag2mask.doctor()
    assert found.broken == {
        "timm": "timm is missing; pip install --upgrade tag2mask",
        "numpy": "numpy is 1.26.0, but >=2.0 is needed; pip install --upgrade tag2mask",
        "torch": "torch cannot be used (libtorch_cpu.so: undefined symbol); reinstall it",
    }
    assert found.environment.packages["timm"] == "missing"
    assert found.environment.extras["geo"] == "no: rasterio is missing"
    assert found.environment.system["python"]
    assert found.self_test == GOOD


def test_a_package_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "NAME", "no-such-distribution")
    found = environment.look_around()
    assert found.broken == {
        "no-such-distribution": "it was not installed, so its requirements are unknown; pip install ."
    }


def test_extras_are_those_that_users_install() -> None:
    _, extras = environment.requirements()
    assert {"geo", "onnx", "smp"} <= extras.keys()
    assert not {"dev", "docs"} & extras.keys()
    assert all(isinstance(one, Requirement) for parts in extras.values() for one in parts)
