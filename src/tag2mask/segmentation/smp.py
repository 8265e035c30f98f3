"""The networks of segmentation-models-pytorch (smp) as segmenters: U-Net, DeepLabV3+, SegFormer and others.

Shapes: B batch, K pixel classes, Y X pixels.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import timm
import torch.nn.functional as F
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import adapt_input_conv
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tag2mask.data import DataSettings
from tag2mask.errors import SettingsError, WeightsError
from tag2mask.segmentation.model import ARCHITECTURES, Architecture, Built, Segmenter
from tag2mask.segmentation.settings import AS_RUN, FROM_RUN, SegmentSettings
from tag2mask.training.settings import TrainSettings
from tag2mask.vit.weights import NO_WEIGHTS, Weights, WeightsReport
from tag2mask.vit.weights_file import read_state, require_numbers

INSTALL = "pip install 'tag2mask[smp]'"
HUB = "imagenet"  # name of the weights on smp's hub
TIMM = "tu-"  # prefix of the names of timm's encoders
MULTIPLE = 32  # sides are padded to multiples of it: the stride of the deepest features, or twice that
SMALLEST = MappingProxyType({"pan": 128})  # its pyramid halves features of stride 16 three times
# Mean and standard deviation of smp's encoders by the prefix of their names; all others use ImageNet's.
HALF = (0.5, 0.5, 0.5)
STATISTICS = MappingProxyType(
    {
        "inception": (HALF, HALF),
        "xception": (HALF, HALF),
        "timm-tf_efficientnet_lite": (HALF, HALF),
        "dpn": ((124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3),
    }
)


class SmpSegmenter(Segmenter):
    """One of smp's networks."""

    def __init__(self, model: nn.Module, smallest: int = 0) -> None:
        """Wrap ``model``, which needs sides of at least ``smallest`` pixels."""
        super().__init__()
        self.model = model
        self.smallest = smallest
        stride: int = model.encoder.output_stride  # type: ignore[union-attr, assignment]
        self.patch = MULTIPLE if MULTIPLE % stride == 0 else 2 * stride  # a ViT's patches of 14: DPT halves its grid

    def forward(self, images: Tensor) -> Tensor:
        """Pad with 0 at the right and bottom, and crop the result."""
        Y, X = images.shape[-2:]
        down, right = (self.smallest - side if side < self.smallest else -side % self.patch for side in (Y, X))
        # A single crop has no batch statistics where all its features are pooled into one.
        alone = self.training and len(images) == 1
        with running_statistics(self.model) if alone else nullcontext():
            logits_BKYX: Tensor = self.model(F.pad(images, (0, right, 0, down)))
        return logits_BKYX[..., :Y, :X]

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """The parameters of the encoder, and all others."""
        groups: dict[str, list[nn.Parameter]] = {"encoder": [], "decoder": []}
        for name, parameter in self.model.named_parameters():
            groups["encoder" if name.startswith("encoder.") else "decoder"].append(parameter)
        return groups


@contextmanager
def running_statistics(model: nn.Module) -> Iterator[None]:
    """In this context, every BatchNorm uses its running statistics and does not update them."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()


def smp_architecture(name: str) -> Architecture:
    """Look up one of smp's architectures.

    Raises:
        SettingsError: it is unknown, or smp is not installed.
    """
    known = networks()
    if name not in known:
        there = ", ".join([*ARCHITECTURES, *known])
        raise SettingsError(f"architecture {name!r} is unknown; choose one of {there}")
    return Architecture(partial(complete_smp, known[name]), build_smp)


def networks() -> dict[str, type[nn.Module]]:
    """The classes of smp's networks by their names in lower case."""
    smp = import_smp()
    found = {key.lower(): value for key, value in vars(smp).items() if isinstance(value, type)}
    return {key: value for key, value in found.items() if issubclass(value, smp.base.SegmentationModel)}


def import_smp() -> ModuleType:
    """Import the optional package smp.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        import segmentation_models_pytorch as smp
    except ModuleNotFoundError as error:
        if error.name != "segmentation_models_pytorch":
            raise
        own = ", ".join(ARCHITECTURES)
        raise SettingsError(f"all architectures but {own} need segmentation-models-pytorch: {INSTALL}") from None
    return smp  # type: ignore[no-any-return]


def complete_smp(network: type[nn.Module], settings: SegmentSettings, run: TrainSettings) -> SegmentSettings:
    """Fill in smp's default encoder and its weights from the hub, unless they are set.

    Raises:
        SettingsError: a backbone or weights of the run are set, or the batch size is 1.
    """
    name = settings.architecture
    if settings.weights in (FROM_RUN, AS_RUN):
        raise SettingsError(f"weights={settings.weights}: {name} cannot start from a run's vit; use hub or a file")
    if settings.backbone is not None:
        raise SettingsError(f"--backbone is for vit only; name the encoder of {name} with --set encoder=resnet34")
    if settings.batch_size == 1:
        raise SettingsError(f"batch_size 1: the BatchNorm layers of {name} need several crops; use 2 or more, or vit")
    encoder = settings.encoder or inspect.signature(network).parameters["encoder_name"].default
    return settings.model_copy(update={"encoder": encoder, "weights": settings.weights or "hub"})


def build_smp(settings: SegmentSettings, data: DataSettings, classes: int, weights: Weights) -> Built:
    """Build one of smp's networks."""
    name, encoder = settings.architecture, settings.encoder
    assert encoder is not None
    model = create_network(name, encoder, data.bands, classes, weights == "hub")
    segmenter = SmpSegmenter(model, SMALLEST.get(name, 0))
    mean, std = data.statistics() or statistics(encoder, weights == "hub", data.bands)
    whole = model.encoder
    assert isinstance(whole, nn.Module)
    if isinstance(weights, Path):
        report = load_encoder(whole, weights, encoder, data.bands)
    elif weights == "none":
        report = WeightsReport(f"{NO_WEIGHTS} (random initialisation)", 0, tuple(whole.state_dict()))
    else:
        report = WeightsReport(f"smp's hub, {encoder} {HUB}", len(whole.state_dict()))
    return Built(segmenter, report, mean, std)


def create_network(name: str, encoder: str, bands: int, classes: int, pretrained: bool) -> nn.Module:
    """Create a network, with encoder weights from the hub or random ones.

    Raises:
        SettingsError: the encoder is unknown, or does not work with this network.
        WeightsError: the hub cannot be reached.
    """
    smp = import_smp()
    require_encoder(encoder, smp.encoders.get_encoder_names())
    more: dict[str, Any] = {"dynamic_img_size": True} if name == "dpt" else {}
    try:
        model: nn.Module = smp.create_model(name, encoder, HUB if pretrained else None, bands, classes, **more)
    except OSError as error:
        raise WeightsError(
            f"weights of {encoder} could not be downloaded from smp's hub ({shorten_error(error)}); "
            "give a file with --weights FILE, or train from scratch with --weights none"
        ) from None
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise SettingsError(f"{name} does not work with encoder={encoder}: {shorten_error(error)}") from None
    return model


def require_encoder(encoder: str, known: list[str]) -> None:
    """Check that the encoder is one of smp's or timm's."""
    if encoder.startswith(TIMM):
        if not timm.is_model(encoder.removeprefix(TIMM)):
            raise SettingsError(f"encoder {encoder}: timm {timm.__version__} has no {encoder.removeprefix(TIMM)}")
    elif encoder not in known:
        near = difflib.get_close_matches(encoder, known, n=3, cutoff=0.3)
        raise SettingsError(
            f"encoder {encoder!r} is unknown to smp; try {', '.join(near)}, or tu-NAME for one of timm's"
        )


def shorten_error(error: Exception) -> str:
    """First line of an error's message, shortened."""
    text = str(error.args[0]) if error.args else type(error).__name__
    return text.splitlines()[0][:200]


def statistics(encoder: str, from_hub: bool, bands: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per band: the encoder's own for 3 bands, otherwise their average.

    Raises:
        WeightsError: the encoder expects other images than RGB in [0, 1].
    """
    mean, std = of_three(encoder, from_hub)
    if bands == 3:
        return mean, std
    return (sum(mean) / 3,) * bands, (sum(std) / 3,) * bands


def of_three(encoder: str, from_hub: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation for RGB: those on smp's hub for weights from there, else the known ones."""
    if encoder.startswith(TIMM):
        config = timm.get_pretrained_cfg(encoder.removeprefix(TIMM))
        return (HALF, HALF) if config is None else (tuple(config.mean), tuple(config.std))
    if from_hub:
        wanted = import_smp().encoders.get_preprocessing_params(encoder, HUB)
        if wanted["input_space"] != "RGB" or list(wanted["input_range"]) != [0, 1]:
            raise WeightsError(
                f"{encoder} expects {wanted['input_space']} in {wanted['input_range']}, not RGB in [0, 1]"
            )
        return tuple(wanted["mean"]), tuple(wanted["std"])
    for start, known in STATISTICS.items():
        if encoder.startswith(start):
            return known
    return IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD


def load_encoder(encoder: nn.Module, path: Path, name: str, bands: int) -> WeightsReport:
    """Load a file into ``encoder``; the first convolution is adapted to the number of bands.

    Raises:
        WeightsError: it cannot be read, or belongs to another encoder: other shapes, missing tensors.
    """
    state, _ = read_state(path)
    wanted = encoder.state_dict()
    if all(key.startswith("model.") for key in wanted):  # smp wraps a timm model; files have timm's names
        state = {key if key.startswith("model.") else f"model.{key}": value for key, value in state.items()}
    for key in state.keys() & wanted.keys():
        there, here = state[key].shape, wanted[key].shape
        if there != here and len(there) == 4 and there == (here[0], 3, *here[2:]) and here[1] == bands:
            state[key] = adapt_input_conv(bands, state[key].float())
    missing = sorted(wanted.keys() - state.keys())
    wrong = sorted(key for key in state.keys() & wanted.keys() if state[key].shape != wanted[key].shape)
    if missing or wrong:
        what = f"lacks {missing[0]}" if missing else f"has {wrong[0]} of another shape"
        raise WeightsError(f"{path} does not fit the encoder {name}: it {what}; name its own with --set encoder=NAME")
    chosen = {key: state[key] for key in wanted}
    require_numbers(chosen, path)
    encoder.load_state_dict(chosen)
    return WeightsReport(path.name, len(wanted), (), tuple(sorted(state.keys() - wanted.keys())))
