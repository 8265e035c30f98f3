"""Building a backbone and loading its weights: from timm's hub, from a file, or not at all."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import timm
import torch
from timm.layers.attention import Attention
from timm.models import eva, vision_transformer
from torch import Tensor, nn

from tag2mask.data.settings import DataSettings
from tag2mask.errors import SettingsError, WeightsError
from tag2mask.vit.hub import unreachable
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.vit import PLAIN, require_plain_vit
from tag2mask.vit.weights_file import read_state, require_numbers

Weights = Literal["hub", "none"] | Path
FROM_HUB = "timm hub, "  # how the source of pretrained weights from there begins
NO_WEIGHTS = "none"  # how it begins without pretrained weights
MOST_PARAMETERS = 30e9  # the largest trained ViT has 22 billion
HEAD = ("head.", "head_dist.", "fc_norm.", "norm.")  # may be missing: task heads, and the norm under its other name


@dataclass(frozen=True)
class WeightsReport:
    """Source of the weights, number of tensors loaded, and the tensors without a counterpart on either side."""

    source: str
    loaded: int
    fresh: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def summary(self) -> str:
        """Summarise the report in one line."""
        line = f"weights: {self.source}, {self.loaded} tensors loaded"
        if self.fresh:
            line += f", {len(self.fresh)} fresh ({', '.join(self.fresh[:4])})"
        if self.unused:
            line += f", {len(self.unused)} unused ({', '.join(self.unused[:4])})"
        return line


def weights_source(name: str) -> Weights:
    """Parse the source of pretrained weights: ``hub``, ``none``, or a file."""
    match name:
        case "hub":
            return "hub"
        case "none":
            return "none"
    return Path(name)


def build_backbone(settings: BackboneSettings, weights: Weights) -> tuple[nn.Module, WeightsReport]:
    """Build a timm model for crops of ``settings.image_size`` with pretrained weights.

    Raises:
        SettingsError: the model is unknown or not a plain ViT, or the image size does not fit its patch.
        WeightsError: the weights cannot be downloaded or read, or do not fit.
    """
    if weights == "hub" and settings.shape():
        raise SettingsError(f"{settings.name} with {settings.shape()} has no pretrained weights: use --weights none")
    model = create_backbone(settings, pretrained=weights == "hub")
    if weights == "none":
        return model, WeightsReport(f"{NO_WEIGHTS} (random initialisation)", 0, tuple(model.state_dict()))
    if isinstance(weights, Path):
        report = load_file(model, weights, settings)
    else:
        report = WeightsReport(f"{FROM_HUB}{settings.name}", len(model.state_dict()))
    return model, draw_patches(model, report) if settings.patch_weights == "fresh" else report


def draw_patches(model: nn.Module, report: WeightsReport) -> WeightsReport:
    """Reinitialise the patch embedding and note it in the report."""
    projection = cast(nn.Conv2d, require_plain_vit(model).patch_embed.proj)
    projection.reset_parameters()
    fresh = tuple(f"patch_embed.proj.{name}" for name, _ in projection.named_parameters())
    return replace(report, loaded=report.loaded - len(fresh), fresh=(*report.fresh, *fresh))


def create_backbone(settings: BackboneSettings, pretrained: bool) -> nn.Module:
    """Create the timm model, with weights from the hub or random ones."""
    patch = patch_of(settings)
    if settings.image_size % patch:
        near_size = max(round(settings.image_size / patch), 1) * patch
        raise SettingsError(
            f"image_size {settings.image_size} is not a multiple of {settings.name}'s patch size {patch}; "
            f"try {near_size}"
        )
    if pretrained and (reason := unreachable(settings.name)):
        raise no_weights(settings, reason)
    try:
        model: nn.Module = timm.create_model(
            settings.name,
            pretrained=pretrained,
            num_classes=0,
            in_chans=settings.bands,
            img_size=built_size(settings, patch),
            dynamic_img_size=True,
            drop_path_rate=settings.drop_path,
            **settings.shape(),
        )
    except (OSError, RuntimeError) as error:
        reason = first_line(error)
        if not pretrained:  # this shape can be built (see patch_of), so the image size is the cause
            raise SettingsError(f"{settings.name} cannot be built for {settings.image_size} px: {reason}") from error
        raise no_weights(settings, reason) from error
    if settings.norm_eps is not None:
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = settings.norm_eps
    return model


def built_size(settings: BackboneSettings, patch: int) -> int:
    """Image size for which timm creates positions: that of training crops, or the model's own if we resample them."""
    config = timm.get_pretrained_cfg(settings.name)
    if settings.positions == "resampled" or config is None or config.input_size[-1] % patch:
        return settings.image_size
    return int(config.input_size[-1])


def first_line(error: Exception) -> str:
    """First line of an error's message, or the error's name if there is none."""
    return (str(error) or type(error).__name__).splitlines()[0]


def no_weights(settings: BackboneSettings, reason: str) -> WeightsError:
    """Create the error for pretrained weights that cannot be downloaded."""
    return WeightsError(
        f"weights of {settings.name} could not be downloaded from timm's hub ({reason}); "
        "give a file with --weights FILE, or train from scratch with --weights none"
    )


def patch_of(settings: BackboneSettings) -> int:
    """Side of a patch of the ViT in pixels.

    Raises:
        SettingsError: the model is unknown or not a plain ViT, or cannot be built in the requested shape.
    """
    if not timm.is_model(settings.name):
        near = ", ".join([*nearest_plain(settings.name), PLAIN])
        raise SettingsError(f"backbone {settings.name!r} is unknown to timm {timm.__version__}; try {near}")
    require_tag(settings.name)
    try:
        with torch.device("meta"):
            model = timm.create_model(settings.name, num_classes=0, **settings.shape())
    except (AssertionError, TypeError, ValueError, RuntimeError) as error:
        raise SettingsError(
            f"timm cannot build {settings.name} with {settings.shape()}: {first_line(error)}; "
            "change backbone.patch, width, depth or heads; the width must be a multiple of the number of heads"
        ) from error
    size = sum(parameter.numel() for parameter in model.parameters())
    if size > MOST_PARAMETERS:
        raise SettingsError(
            f"{settings.name} with {settings.shape()} has {size / 1e9:.0f} billion parameters, more than the limit of "
            f"{MOST_PARAMETERS / 1e9:.0f} billion; reduce backbone.width or depth"
        )
    return int(require_plain_vit(model).patch_embed.patch_size[0])


def nearest_plain(name: str) -> list[str]:
    """Return names of plain ViTs that begin much like ``name``, the most similar first."""
    plain = timm.list_models(module="vision_transformer") + timm.list_models(module="eva")
    beginnings = {model[: len(name)]: model for model in sorted(plain, reverse=True)}
    return [beginnings[one] for one in difflib.get_close_matches(name, beginnings, n=3, cutoff=0.75)]


def require_tag(name: str) -> None:
    """Check that timm has weights of the model under the tag after the dot, if there is one.

    Raises:
        SettingsError: it does not; the message names similar or known tags.
    """
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError:
        model, _, tag = name.partition(".")
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{model}.*")]
        near = difflib.get_close_matches(tag, tags, n=1)
        hint = f"did you mean {model}.{near[0]}?" if near else f"leave it out, or use one of: {', '.join(tags) or '-'}"
        raise SettingsError(f"backbone {name}: timm has no weights of {model} with the tag {tag!r}; {hint}") from None


def load_file(model: nn.Module, path: Path, settings: BackboneSettings) -> WeightsReport:
    """Load a safetensors file or a timm-style state dict into ``model``.

    Raises:
        WeightsError: it cannot be read or belongs to another model: other shapes or head count, missing tensors.
    """
    state, metadata = read_state(path)
    own_heads = cast(Attention, require_plain_vit(model).blocks[0].attn).num_heads
    heads = metadata.get("num_heads", own_heads)
    if str(heads) != str(own_heads):
        raise WeightsError(f"{path} is for {heads} attention heads per layer, but {settings.name} has {own_heads}")
    wanted = model.state_dict()
    state = fit_positions(state, model, path, settings)
    wrong = [key for key in state.keys() & wanted.keys() if state[key].shape != wanted[key].shape]
    if wrong:
        key = sorted(wrong)[0]
        raise WeightsError(
            f"{path} does not fit {settings.name}: {key} is {tuple(state[key].shape)} in the file and "
            f"{tuple(wanted[key].shape)} in the model; name the file's model with --backbone"
        )
    missing = sorted(wanted.keys() - state.keys())
    if any(not key.startswith(HEAD) for key in missing):
        raise WeightsError(
            f"{path} does not fit {settings.name}: it lacks {len(missing)} of {len(wanted)} tensors, such as "
            f"{missing[0]}; name the file's model with --backbone"
        )
    unused = sorted(state.keys() - wanted.keys())
    if any(key.startswith("blocks.") for key in unused):
        raise WeightsError(f"{path} does not fit {settings.name}: the model has no {unused[0]}")
    require_numbers({key: state[key] for key in sorted(state.keys() & wanted.keys())}, path)
    model.load_state_dict(state, strict=False)
    return WeightsReport(path.name, len(wanted) - len(missing), tuple(missing), tuple(unused))


def fit_positions(
    state: dict[str, Tensor], model: nn.Module, path: Path, settings: BackboneSettings
) -> dict[str, Tensor]:
    """Resample positions and patches to the model's grid, adapt the bands, and rename the final norm to match it."""
    convert: Callable[..., dict[str, Tensor]] = (
        eva.checkpoint_filter_fn if isinstance(model, eva.Eva) else vision_transformer.checkpoint_filter_fn
    )
    kernel = state.get("patch_embed.proj.weight")
    try:
        if kernel is not None and kernel.ndim == 4 and kernel.shape[1] != settings.bands:
            state["patch_embed.proj.weight"] = timm.models.adapt_input_conv(settings.bands, kernel.float())
        state = convert(state, model)
    except Exception as error:  # timm's code trusts the tensors to match their names
        raise WeightsError(f"{path} does not fit {settings.name}: {first_line(error)}") from error
    wanted = model.state_dict()
    renamed = {}
    for key, value in state.items():
        other = (
            key.removeprefix("fc_") if key.startswith("fc_norm.") else f"fc_{key}" if key.startswith("norm.") else key
        )
        renamed[key if key in wanted or other not in wanted else other] = value
    return renamed


def normalisation(settings: BackboneSettings, data: DataSettings) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per band: the data's if set, else the backbone's (averaged if not 3 bands)."""
    if own := data.statistics():
        return own
    config = timm.get_pretrained_cfg(settings.name)
    if config is None:
        return (0.5,) * settings.bands, (0.5,) * settings.bands
    mean, std = tuple(config.mean), tuple(config.std)
    if settings.bands == 3:
        return mean, std
    return (sum(mean) / 3,) * settings.bands, (sum(std) / 3,) * settings.bands
