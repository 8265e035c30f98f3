"""What every method must do, run over ``METHODS``."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from numbered import START, numbered
from tag2mask.errors import SettingsError
from tag2mask.methods import METHODS, Ask, Method, build_method
from tag2mask.vit.settings import BackboneSettings

CLASSES = 5


def build(name: str, bands: int = 3) -> Method:
    torch.manual_seed(0)
    backbone = BackboneSettings(name="vit_tiny_patch16_224", image_size=64, bands=bands, drop_path=0.0)
    return build_method(name, numbered(CLASSES), backbone, {}, "none")[0]


@pytest.mark.parametrize("name", METHODS)
class TestEveryMethod:
    def test_it_knows_its_classes(self, name: str) -> None:
        assert build(name).classes.names == ("0", "1", "2", "3", "4")

    @pytest.mark.parametrize("bands", [1, 3, 13])
    @pytest.mark.parametrize("size", [(64, 64), (48, 80)])
    def test_forward_gives_what_is_asked_for(self, name: str, bands: int, size: tuple[int, int]) -> None:
        method = build(name, bands).eval()
        h, w = size[0] // 16, size[1] // 16
        with torch.no_grad():
            plain = method(torch.randn(2, bands, *size))
            full = method(torch.randn(2, bands, *size), ask=Ask(maps=True, affinity=True))
        assert plain.scores_BC.shape == (2, CLASSES)
        assert plain.maps_BChw is None
        assert plain.affinity_BMM is None
        assert full.maps_BChw.shape == (2, CLASSES, h, w)
        assert (full.maps_BChw >= 0).all()
        assert full.affinity_BMM.shape == (2, h * w, h * w)

    def test_a_few_steps_lower_the_loss(self, name: str) -> None:
        method = build(name)
        images, tags = torch.randn(4, 3, 64, 64), torch.eye(CLASSES)[:4]
        optimiser = torch.optim.AdamW(method.parameters(), lr=1e-3)
        losses = []
        for _ in range(12):
            loss = sum(method.loss(method(images, tags), tags, START).values())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]

    def test_saved_and_loaded_it_is_the_same(self, name: str, tmp_path) -> None:
        method = build(name).eval()
        save_file(method.state_dict(), tmp_path / "model.safetensors")
        torch.manual_seed(1)
        other = build(name).eval()
        other.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)
        images = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            assert torch.equal(method(images).scores_BC, other(images).scores_BC)

    def test_bf16_is_close_to_float32(self, name: str) -> None:
        method = build(name).eval()
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            exact = method(images, ask=Ask(maps=True, affinity=True))
            with torch.autocast("cpu", torch.bfloat16):
                rough = method(images, ask=Ask(maps=True, affinity=True))
        assert rough.scores_BC.dtype == rough.affinity_BMM.dtype == torch.float32
        torch.testing.assert_close(rough.scores_BC, exact.scores_BC, atol=0.05, rtol=0.05)
        scale = exact.maps_BChw.max().item()
        torch.testing.assert_close(rough.maps_BChw.float(), exact.maps_BChw, atol=0.03 * scale, rtol=0.05)

    def test_unknown_settings_are_errors(self, name: str) -> None:
        with pytest.raises(SettingsError, match=r"unknown setting masking_ration; (did you mean \w+\?|there are )"):
            build_method(name, numbered(2), BackboneSettings(), {"masking_ration": 0.2}, "none")


def test_unknown_methods_name_what_there_is() -> None:
    with pytest.raises(SettingsError, match="method 'tokenmask' is unknown; choose one of attended, "):
        build_method("tokenmask", numbered(2), BackboneSettings(), {}, "none")
