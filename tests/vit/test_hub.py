from __future__ import annotations

from pathlib import Path

import pytest

from tag2mask.errors import WeightsError
from tag2mask.vit import hub
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.weights import build_backbone

TINY = BackboneSettings(name="vit_tiny_patch16_224", image_size=64)


def no_cache(repository: str, file: str) -> None:
    return None


def no_network(url: str, timeout: float) -> None:
    raise ConnectionError("[Errno -2] Name or service not known")


def test_without_network_there_is_one_try_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(hub, "try_to_load_from_cache", no_cache)
    monkeypatch.setattr(hub, "get_hf_file_metadata", no_network)
    with pytest.raises(WeightsError) as error:
        build_backbone(TINY, "hub")
    assert str(error.value) == (
        "weights of vit_tiny_patch16_224 could not be downloaded from timm's hub ([Errno -2] Name or service not "
        "known); give a file with --weights FILE, or train from scratch with --weights none"
    )
    assert capfd.readouterr() == ("", "")


def test_what_was_downloaded_before_needs_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def cached(repository: str, file: str) -> str:
        asked.append(repository)
        return str(tmp_path / file)

    monkeypatch.setattr(hub, "try_to_load_from_cache", cached)
    monkeypatch.setattr(hub, "get_hf_file_metadata", no_network)
    assert hub.unreachable("vit_small_patch14_dinov2") is None
    assert asked == ["timm/vit_small_patch14_dinov2.lvd142m"]


def test_a_hub_that_answers_is_left_to_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "try_to_load_from_cache", no_cache)
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda url, timeout: None)
    assert hub.unreachable("vit_small_patch14_dinov2") is None
