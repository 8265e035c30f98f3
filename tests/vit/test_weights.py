from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from tag2mask.data import DataSettings
from tag2mask.errors import SettingsError, WeightsError
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.vit import require_plain_vit
from tag2mask.vit.weights import build_backbone, normalisation

TINY = BackboneSettings(name="vit_tiny_patch16_224", image_size=64)


@pytest.fixture
def state() -> dict[str, Tensor]:
    return {key: value.clone() for key, value in timm.create_model(TINY.name, num_classes=10).state_dict().items()}


def test_a_file_fills_everything_and_positions_are_resampled(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(state, tmp_path / "w.safetensors")
    model, report = build_backbone(TINY, tmp_path / "w.safetensors")
    assert torch.equal(model.state_dict()["blocks.3.mlp.fc1.weight"], state["blocks.3.mlp.fc1.weight"])
    assert model.state_dict()["pos_embed"].shape == (1, 1 + 16, 192)
    assert report.fresh == ()
    assert report.unused == ("head.bias", "head.weight")
    assert report.loaded == len(model.state_dict())
    assert report.summary() == "weights: w.safetensors, 150 tensors loaded, 2 unused (head.bias, head.weight)"


def test_a_torch_state_dict_is_read_without_executing_it(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save({"model": state}, tmp_path / "w.pth")
    model, _ = build_backbone(TINY, tmp_path / "w.pth")
    assert torch.equal(model.state_dict()["blocks.0.attn.qkv.weight"], state["blocks.0.attn.qkv.weight"])

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"model": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(WeightsError, match=r"trap\.pth cannot be read"):
        build_backbone(TINY, tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("bands", [1, 3, 4, 13])
def test_patch_embedding_is_adapted_to_the_bands_as_timm_does(
    tmp_path: Path, state: dict[str, Tensor], bands: int
) -> None:
    save_file(state, tmp_path / "w.safetensors")
    settings = TINY.model_copy(update={"bands": bands})
    model, _ = build_backbone(settings, tmp_path / "w.safetensors")
    wanted = timm.models.adapt_input_conv(bands, state["patch_embed.proj.weight"])
    torch.testing.assert_close(model.state_dict()["patch_embed.proj.weight"], wanted)
    assert len(normalisation(settings, DataSettings())[0]) == bands


def test_fresh_patches_are_drawn_and_reported(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(state, tmp_path / "w.safetensors")
    settings = TINY.model_copy(update={"bands": 13, "patch_weights": "fresh"})
    model, report = build_backbone(settings, tmp_path / "w.safetensors")
    kernel = model.state_dict()["patch_embed.proj.weight"]
    assert kernel.shape[1] == 13
    assert not torch.equal(kernel[:, 0], kernel[:, 3])  # repeated where they are adapted
    assert torch.equal(model.state_dict()["blocks.3.mlp.fc1.weight"], state["blocks.3.mlp.fc1.weight"])
    assert report.fresh == ("patch_embed.proj.weight", "patch_embed.proj.bias")
    assert report.loaded == len(model.state_dict()) - 2


def test_statistics_of_the_data_come_before_the_backbones() -> None:
    data = DataSettings(bands=3, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0))
    assert normalisation(TINY, data) == (data.mean, data.std)
    assert normalisation(TINY, DataSettings()) == ((0.5,) * 3, (0.5,) * 3)


def test_the_norm_of_a_pooled_model_finds_its_place(tmp_path: Path) -> None:
    name = "eva02_tiny_patch14_224"
    state = timm.create_model(name, num_classes=0).state_dict()
    state["norm.weight"] = state.pop("fc_norm.weight") + 1
    state["norm.bias"] = state.pop("fc_norm.bias")
    save_file({key: value.contiguous() for key, value in state.items()}, tmp_path / "w.safetensors")
    model, report = build_backbone(BackboneSettings(name=name, image_size=56), tmp_path / "w.safetensors")
    assert torch.equal(model.state_dict()["fc_norm.weight"], state["norm.weight"])
    assert report.fresh == ()


def test_weights_of_another_width_are_an_error_that_names_the_tensor(tmp_path: Path) -> None:
    save_file(timm.create_model("vit_small_patch16_224", num_classes=0).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(
        WeightsError, match=r"not fit vit_tiny_patch16_224: blocks\.0\.attn\.proj\.bias is \(384,\) in the file"
    ):
        build_backbone(TINY, tmp_path / "w.safetensors")


def test_weights_of_another_depth_are_an_error(tmp_path: Path, state: dict[str, Tensor]) -> None:
    last = {key: value for key, value in state.items() if "blocks.11." in key}
    deeper = {key.replace("blocks.11.", "blocks.12."): value.clone() for key, value in last.items()}
    save_file(state | deeper, tmp_path / "deeper.safetensors")
    with pytest.raises(WeightsError, match=r"the model has no blocks\.12\."):
        build_backbone(TINY, tmp_path / "deeper.safetensors")
    shallower = {key: value for key, value in state.items() if "blocks.11." not in key}
    save_file(shallower, tmp_path / "shallower.safetensors")
    with pytest.raises(WeightsError, match=r"it lacks 12 of 150 tensors"):
        build_backbone(TINY, tmp_path / "shallower.safetensors")


def test_weights_made_for_other_heads_are_an_error(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(state, tmp_path / "w.safetensors", metadata={"num_heads": "6"})
    with pytest.raises(WeightsError, match="is for 6 attention heads per layer, but vit_tiny_patch16_224 has 3"):
        build_backbone(TINY, tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "content", [b"", b"no weights at all", b"\x80\x04garbage", b"image,labels\n", b"0", b"h\x04", b"JJ"]
)
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_damaged_files_are_one_clear_error(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"w.{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"w\.{suffix} cannot be read: it is damaged, or neither") as error:
        build_backbone(TINY, path)
    assert "\n" not in str(error.value)
    assert "weights_only" not in str(error.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth does not exist"):
        build_backbone(TINY, tmp_path / "none.pth")


def test_unknown_backbones_and_sizes_name_what_works() -> None:
    for name, near in (
        ("vit_tinny", "vit_tiny_patch16_224"),
        ("vit_tiny_patch15", "vit_tiny_patch16_224"),
        ("eva02_smal_patch14_224", "eva02_small_patch14_224, eva02_small_patch14_336"),
    ):
        with pytest.raises(SettingsError, match=rf"'{name}' is unknown to timm \S+; try {near}, [\w, ]+$") as error:
            build_backbone(BackboneSettings(name=name), "none")
        for other in str(error.value).partition("try ")[2].split(", "):
            with torch.device("meta"):
                require_plain_vit(timm.create_model(other))
    with pytest.raises(SettingsError, match=r"'foo' is unknown to timm .* try [\w, ]+$"):
        build_backbone(BackboneSettings(name="foo"), "none")
    with pytest.raises(SettingsError, match=r"image_size 4 is not a multiple of .* patch size 16; try 16"):
        build_backbone(BackboneSettings(name="vit_tiny_patch16_224", image_size=4), "none")
    with pytest.raises(SettingsError, match=r"image_size 100 is not a multiple of .* patch size 16; try 96"):
        build_backbone(BackboneSettings(name="vit_tiny_patch16_224", image_size=100), "none")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("key", ["pos_embed", "patch_embed.proj.weight", "norm.bias", "blocks.0.attn.qkv.weight"])
def test_a_tensor_without_dimensions_is_one_line(
    tmp_path: Path, state: dict[str, Tensor], key: str, suffix: str
) -> None:
    path = tmp_path / f"w.{suffix}"
    changed = {**state, key: torch.tensor(1.0)}
    torch.save(changed, path) if suffix == "pth" else save_file(changed, path)
    for bands in (3, 4):
        with pytest.raises(WeightsError, match=rf"w\.{suffix} does not fit vit_tiny_patch16_224: ") as error:
            build_backbone(TINY.model_copy(update={"bands": bands}), path)
        assert "\n" not in str(error.value)


ODD = {
    "sparse": (torch.eye(4).to_sparse(), "'pos_embed' is sparse or nested"),
    "sparse rows": (torch.eye(4).to_sparse_csr(), "'pos_embed' is sparse or nested"),
    "quantised": (torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8), "is quantised or complex"),
    "meta": (torch.empty(4, device="meta"), "'pos_embed' is a meta tensor"),
    "complex": (torch.ones(4, dtype=torch.complex64), "is quantised or complex"),
    "float8": (torch.ones(4).to(torch.float8_e4m3fn), "is quantised or complex"),
    "nan": (torch.full((1, 17, 192), torch.nan), "pos_embed holds values that are not finite"),
    "text": ("a", "holds no state dict"),
    "list": ([torch.ones(4)], "holds no state dict"),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_no_vit_can_be_filled_with_is_named(tmp_path: Path, state: dict[str, Tensor], odd: str) -> None:
    value, message = ODD[odd]
    torch.save({**state, "pos_embed": value}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message):
        build_backbone(TINY, tmp_path / "w.pth")


@pytest.mark.parametrize("content", [{7: torch.ones(2)}, {"": torch.ones(2)}, {None: torch.ones(2)}])
def test_a_tensor_has_a_name(tmp_path: Path, content: dict[object, Tensor]) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="is not a name; the file must hold plain, named tensors"):
        build_backbone(TINY, tmp_path / "w.pth")


@pytest.mark.parametrize("content", [{}, {"state_dict": 5}, {"model": {"state_dict": {}}}, [], 3, None])
def test_what_holds_no_weights_is_one_line(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"holds no state dict|it lacks 150 of 150 tensors"):
        build_backbone(TINY, tmp_path / "w.pth")


@pytest.mark.parametrize("heads", ["three", "4", "", "3.0"])
def test_a_head_count_that_is_another_is_named(tmp_path: Path, state: dict[str, Tensor], heads: str) -> None:
    save_file(state, tmp_path / "w.safetensors", {"num_heads": heads})
    with pytest.raises(WeightsError, match=f"is for {heads} attention heads per layer, but vit_tiny.* has 3"):
        build_backbone(TINY, tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "shape", [{"depth": 3000}, {"width": 1_000_000}, {"heads": 5000}, {"patch": 1000}, {"image_size": 22_400}]
)
def test_typing_errors_are_found_before_anything_is_built(shape: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(shape))}: expected a number less than or equal to"):
        BackboneSettings.parse(shape)


def test_a_model_larger_than_any_is_refused() -> None:
    shape = {"width": 16_384, "depth": 200, "heads": 64}
    with pytest.raises(
        SettingsError, match=r"has 644 billion parameters, more than .* 30 billion; reduce backbone\.width"
    ):
        build_backbone(BackboneSettings(name="vit_tiny_patch16_224", image_size=64, **shape), "none")


@pytest.mark.parametrize("shape", [{"width": 25}, {"heads": 7}, {"width": 24, "heads": 5}])
def test_a_shape_that_timm_cannot_build_is_one_line(shape: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match=r"timm cannot build .*; change backbone\.patch, width, depth or heads"):
        build_backbone(BackboneSettings(name="vit_tiny_patch16_224", **shape), "none")
    with pytest.raises(SettingsError, match=r"timm cannot build resnet18 with {'patch_size': 8}: "):
        build_backbone(BackboneSettings(name="resnet18", patch=8), "none")


@pytest.mark.real
def test_the_shared_dinov2_loads_completely(shared_weights: Path) -> None:
    _, report = build_backbone(BackboneSettings(), shared_weights)
    assert (report.loaded, report.fresh, report.unused) == (174, (), ())
    with pytest.raises(WeightsError, match="does not fit vit_tiny_patch16_224"):
        build_backbone(TINY, shared_weights)


@pytest.mark.parametrize(
    ("tag", "hint"),
    [("augreg_in21", "did you mean vit_tiny_patch16_224.augreg_in21k?"), ("mine", "use one of: augreg_in21k")],
)
def test_a_tag_that_timm_does_not_know_is_named(tag: str, hint: str) -> None:
    settings = TINY.model_copy(update={"name": f"{TINY.name}.{tag}"})
    with pytest.raises(SettingsError, match=f"timm has no weights of {TINY.name} with the tag '{tag}'; ") as error:
        build_backbone(settings, "none")
    assert hint in str(error.value)
    assert "backbone.patch" not in str(error.value)
