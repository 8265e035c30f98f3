"""The decoder in closed form, and what every architecture must do."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from tag2mask.data import DataSettings
from tag2mask.segmentation.build import build_segmenter
from tag2mask.segmentation.decoder import MaskTransformer, Scale
from tag2mask.segmentation.model import ARCHITECTURES, Segmenter, ViTSegmenter
from tag2mask.segmentation.optimiser import optimiser_for
from tag2mask.segmentation.settings import SegmenterOptimiser, SegmentSettings
from tag2mask.tensors import write_tensors
from tag2mask.training.run import fill
from tag2mask.vit.settings import BackboneSettings

CLASSES = 5
NETWORKS = ("unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "deeplabv3", "deeplabv3plus", "pan", "upernet")
NETWORKS += ("segformer", "dpt")
WITHOUT_INFLUENCE = ("pspnet", "dpt")  # these build more of their encoder than they use
TINY_VIT = {"name": "vit_tiny_patch16_224", "image_size": 32, "patch": 8, "width": 24, "depth": 2, "heads": 3}


def settings_of(name: str, bands: int = 3) -> SegmentSettings:
    if name in ARCHITECTURES:
        return SegmentSettings(backbone=BackboneSettings.parse({**TINY_VIT, "bands": bands, "drop_path": 0}))
    pytest.importorskip("segmentation_models_pytorch", reason="extra smp is not installed")
    return SegmentSettings(architecture=name, encoder="tu-test_vit" if name == "dpt" else "tu-test_resnet")


def build(name: str = "vit", bands: int = 3, classes: int = CLASSES) -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter(settings_of(name, bands), DataSettings(bands=bands), classes, "none").segmenter


@pytest.mark.parametrize("name", [*ARCHITECTURES, *NETWORKS])
class TestEveryArchitecture:
    @pytest.mark.parametrize("bands", [1, 3, 13])
    def test_logits_for_any_bands(self, name: str, bands: int) -> None:
        with torch.no_grad():
            assert build(name, bands).eval()(torch.randn(1, bands, 32, 32)).shape == (1, CLASSES, 32, 32)

    def test_logits_for_any_size(self, name: str) -> None:
        segmenter = build(name).eval()
        for size in ((64, 64), (37, 53), (5, 9), (33, 97)):
            with torch.no_grad():
                assert segmenter(torch.randn(2, 3, *size)).shape == (2, CLASSES, *size)

    def test_every_parameter_is_in_one_group_and_has_a_gradient(self, name: str) -> None:
        segmenter = build(name)
        segmenter(torch.randn(2, 3, 37, 21)).square().mean().backward()
        groups = segmenter.parameter_groups()
        assert set(groups) == {"encoder", "decoder"}
        assert all(groups.values())
        grouped = [id(parameter) for group in groups.values() for parameter in group]
        assert sorted(grouped) == sorted(id(parameter) for parameter in segmenter.parameters())
        without = [parameter for parameter in segmenter.parameters() if parameter.numel() and parameter.grad is None]
        assert not without or name in WITHOUT_INFLUENCE
        assert {id(parameter) for parameter in without} <= {id(parameter) for parameter in groups["encoder"]}

    def test_one_crop_alone_can_be_learned_from(self, name: str) -> None:
        segmenter = build(name).train()
        before = {key: value.clone() for key, value in segmenter.named_buffers()}
        segmenter(torch.randn(1, 3, 32, 32)).square().mean().backward()
        assert all(torch.equal(value, before[key]) for key, value in segmenter.named_buffers())
        assert all(module.training for module in segmenter.modules())

    def test_what_was_saved_is_what_is_loaded(self, name: str, tmp_path: Path) -> None:
        one, images = build(name), torch.randn(2, 3, 40, 32)
        one(images)  # moves the statistics of BatchNorms
        write_tensors(tmp_path / "model.safetensors", one.state_dict(), {})
        torch.manual_seed(1)
        other = build_segmenter(settings_of(name), DataSettings(), CLASSES, "none").segmenter
        fill(other, tmp_path / "model.safetensors")
        with torch.no_grad():
            assert torch.equal(one.eval()(images), other.eval()(images))

    def test_a_step_lowers_the_loss(self, name: str) -> None:
        segmenter = build(name).train()
        labels = torch.zeros(2, 64, 64, dtype=torch.long)
        labels[..., 32:] = 1
        images = labels[:, None] + 0.1 * torch.randn(2, 3, 64, 64)
        optimiser = optimiser_for(segmenter.parameter_groups(), SegmenterOptimiser.parse({"lr": 1e-4, "encoder": 1.0}))
        losses = []
        for _ in range(2):
            torch.manual_seed(2)  # the same dropout
            loss = F.cross_entropy(segmenter(images), labels)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[1] < losses[0]


def test_a_mask_is_the_cosine_of_patch_and_class_normalised_over_classes() -> None:
    torch.manual_seed(0)
    decoder = MaskTransformer(width=128, classes=CLASSES).eval()
    patches = torch.randn(2, 6, 128)
    tokens = torch.cat([decoder.inward(patches), decoder.class_KD.expand(2, -1, -1)], 1)
    for block in decoder.blocks:
        assert block.attn.num_heads == 2
        assert block.mlp.fc1.out_features == 512
        tokens = block(tokens)
    tokens = F.layer_norm(tokens, (128,), decoder.norm.weight, decoder.norm.bias)
    p, c = tokens[:, :6] @ decoder.patch_DD, tokens[:, 6:] @ decoder.token_DD
    cosines = F.cosine_similarity(p[:, :, None], c[:, None], dim=-1)
    centred = cosines - cosines.mean(-1, keepdim=True)
    wanted = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(decoder(patches), wanted, atol=1e-4, rtol=1e-3)


def test_the_encoder_is_plain_timm_with_its_final_norm_and_without_its_class_token() -> None:
    shape = {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "img_size": 32, "dynamic_img_size": True}
    original = timm.create_model("vit_tiny_patch16_224", num_classes=0, **shape).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        wanted = original.forward_features(images)[:, 1:]
        segmenter = ViTSegmenter(original, CLASSES).eval()
        found = segmenter.encoder.norm(segmenter.encoder(images).patch_BMD)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "side"),
    [
        ("deit_tiny_patch16_224", 64),
        ("vit_small_patch14_reg4_dinov2", 56),
        ("vit_base_patch16_siglip_224", 64),
        ("eva02_tiny_patch14_224", 56),
        ("vit_small_patch16_rope_mixed_224", 64),
    ],
)
def test_any_plain_vit_at_any_size(backbone: str, side: int) -> None:
    settings = BackboneSettings(name=backbone, image_size=side, width=96, depth=2, heads=3)
    segmenter = build_segmenter(SegmentSettings(backbone=settings), DataSettings(), CLASSES, "none").segmenter
    with torch.no_grad():
        assert segmenter.eval()(torch.randn(1, 3, side + 3, side - 30)).shape == (1, CLASSES, side + 3, side - 30)


@pytest.mark.parametrize("classes", [1, 2])
def test_few_classes_are_scaled_since_their_layer_norm_has_no_gradient(classes: int) -> None:
    decoder = MaskTransformer(width=24, classes=classes).eval()
    assert isinstance(decoder.class_norm, Scale)
    scores = decoder(torch.randn(1, 4, 24))
    assert scores.shape == (1, 4, classes)
    scores.sum().backward()
    assert decoder.patch_DD.grad.abs().sum() > 0
    assert isinstance(MaskTransformer(width=24, classes=3).class_norm, nn.LayerNorm)


def test_half_precision_keeps_the_cosines_whole() -> None:
    segmenter = build().eval()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert segmenter(images).dtype == torch.float32
