from pathlib import Path
from typing import Any

import pytest
import torch

from backbones import save_backbone
from numbered import numbered
from tag2mask import train
from tag2mask.errors import SettingsError
from tag2mask.methods import build_method
from tag2mask.training.run import open_run
from tag2mask.training.warm_start import best_penalty, fill_readout, fit_logistic
from tag2mask.vit.settings import BackboneSettings


def examples(images: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Features ``(N, 2, 8)`` of which the first number alone decides a tag, off centre and of another size."""
    generator = torch.Generator().manual_seed(0)
    read_NCD = torch.randn(images, 2, 8, generator=generator)
    tags_NC = (read_NCD[..., 0] + 0.3 * torch.randn(images, 2, generator=generator) > 0.5).float()
    return 4 * read_NCD + 7, tags_NC


def test_the_fit_finds_what_decides_the_tags() -> None:
    read_NCD, tags_NC = examples()
    vector_CD, bias_C = fit_logistic(read_NCD, tags_NC, penalty=1e-3)
    right = ((read_NCD * vector_CD).sum(-1) + bias_C > 0) == tags_NC.bool()
    assert right.float().mean() > 0.9
    assert (vector_CD[:, 0] > 5 * vector_CD[:, 1:].abs().amax(1)).all()


def test_noise_asks_for_a_larger_penalty_than_signal() -> None:
    read_NCD, tags_NC = examples(60)
    noise_NCD = torch.randn(60, 2, 40, generator=torch.Generator().manual_seed(1))
    assert best_penalty(noise_NCD, tags_NC) > best_penalty(read_NCD, tags_NC)


@pytest.mark.parametrize("name", ["attended", "attended-dynamic"])
def test_the_head_reads_as_the_fit_says(name: str) -> None:
    backbone = BackboneSettings(name="vit_tiny_patch16_224", image_size=32, depth=2)
    method, _ = build_method(name, numbered(2), backbone, {"map_layers": 2, "attended_layers": 2}, "none")
    method.eval()
    images = torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    tags_NC = (images.mean((1, 2, 3), keepdim=False) > 0).float()[:, None].repeat(1, 2)
    assert method.readout is not None
    with torch.no_grad():
        read_NCD = method.readout.read(images)
        fill_readout(method.readout, read_NCD, tags_NC)
        logits_NC = method(images).scores_BC
    torch.testing.assert_close(logits_NC, (read_NCD * method.readout.vector_CD).sum(-1) + method.readout.bias_C)


def test_only_pretrained_backbones_start_warm(squares: Path, small: dict[str, Any], tmp_path: Path) -> None:
    small["backbone"]["depth"] = 2
    weights = tmp_path / "weights.safetensors"
    save_backbone(small["backbone"], weights)
    for name, warm, rate in (("cold", False, 3e-3), ("warm", True, 5e-4)):
        train(squares, tmp_path / name, **{**small, "epochs": 1, "weights": str(weights), "warm_start": warm})
        assert open_run(tmp_path / name).settings.optimiser.lr_heads == rate
    with pytest.raises(SettingsError, match="warm_start=true needs pretrained weights"):
        train(squares, tmp_path / "none", **{**small, "warm_start": True})


def test_a_warm_run_resumes_with_the_same_settings(squares: Path, small: dict[str, Any], tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    save_backbone(small["backbone"], weights)
    settings = {**small, "weights": str(weights), "warm_start": True}
    train(squares, tmp_path / "run", **settings)
    assert train(squares, tmp_path / "run", resume=True, **settings).epochs == 2
