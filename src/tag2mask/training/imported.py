"""Import of checkpoints that a method's authors released, as runs with the settings of the published recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from tag2mask.data import Classes
from tag2mask.data.classes import BACKGROUND
from tag2mask.data.folder import read_classes
from tag2mask.errors import DataError, SettingsError, WeightsError
from tag2mask.files import file_hash, in_one_move, require_new, reserved, sync
from tag2mask.methods import method_settings
from tag2mask.methods.mctformer import released as mctformer
from tag2mask.methods.released import Fitted, Layout, Size, fit_state, without_prefix
from tag2mask.methods.weaktr import released as weaktr
from tag2mask.recipes import read_recipe
from tag2mask.shown import Shown
from tag2mask.tensors import write_tensors
from tag2mask.training import run as layout
from tag2mask.training.settings import TrainSettings
from tag2mask.training.start import write_run_header
from tag2mask.vit.positions import RESAMPLINGS
from tag2mask.vit.settings import BackboneSettings
from tag2mask.vit.weights import WeightsReport
from tag2mask.vit.weights_file import read_state, require_numbers


@dataclass(frozen=True)
class Released:
    """What is known about a method's released checkpoints: their layout and their recipe.

    ``truth_used`` states how pixel labels influenced the checkpoints.
    """

    layout: Layout
    recipe: str
    truth_used: str = "none"


RELEASED: Mapping[str, Released] = MappingProxyType(
    {
        "weaktr": Released(
            weaktr.LAYOUT, "voc-weaktr", "WeakTr's authors keep the epoch whose maps fit true masks best"
        ),
        "mctformer-v1": Released(mctformer.V1, "voc-mctformer-v1"),
        "mctformer-v2": Released(mctformer.V2, "voc-mctformer-v2"),
        "mctformer-plus": Released(mctformer.PLUS, "voc-mctformer-plus"),
    }
)
DEIT = {(192, 12, 16): "tiny", (384, 12, 16): "small", (768, 12, 16): "base"}  # by width, depth and patch


@dataclass(frozen=True)
class ImportResult:
    """The imported run, the side of its images in pixels, and the recipe that paints masks as the authors do."""

    run: Path
    method: str
    classes: int
    backbone: str
    image_size: int
    tensors: int
    unread: tuple[str, ...]
    recipe: str

    def to_json(self) -> dict[str, Any]:
        """Return the output for ``--json``."""
        return {**asdict(self), "run": str(self.run), "unread": list(self.unread)}

    def shown(self) -> Shown:
        """Return the output for people."""
        return [
            f"{self.run}: {self.method}, {self.classes} classes, {self.backbone} at {self.image_size} px",
            f"paint with: tag2mask masks {self.run} --data DATA --recipe {self.recipe}",
        ]


def import_checkpoint(
    checkpoint: Path, method: str, classes: Path, out: Path, background: bool = False, image_size: int | None = None
) -> ImportResult:
    """Write a run with the weights of a released ``checkpoint``, without executing any code in it.

    ``classes`` is a file with one name per line, in the order the authors used. ``image_size`` is the side of images in
    pixels, by default that of the checkpoint's positions; otherwise they are resampled as in the authors' code.

    Raises:
        RunError: ``out`` exists.
        SettingsError: no checkpoints of ``method`` are known, or the image size does not fit the patch.
        DataError: the list of classes cannot be used.
        WeightsError: the checkpoint cannot be read, or belongs to another method or another number of classes.
    """
    require_new(out)
    known = released_layout(method)
    names = read_names(classes, background)
    fitted = read_released(checkpoint, method, names, classes)
    settings = settings_for(method, known, fitted.size, image_size)
    tensors = resample_positions(fitted, settings.backbone)
    report = WeightsReport(f"imported from {checkpoint.name}", len(tensors), (), fitted.unread)
    origin = layout.Imported(file=checkpoint.name, sha256=file_hash(checkpoint), truth_used=known.truth_used)
    with reserved(out), in_one_move(out) as beside:
        write_run_header(beside, names, settings, report, {"data": None, "imported": origin.model_dump()})
        write_tensors(beside / layout.MODEL, tensors, {})
        layout.open_run(beside).load_method()  # check that it opens; otherwise nothing is left behind
        sync(beside)
    backbone = settings.backbone
    return ImportResult(
        out, method, len(names), backbone.name, backbone.image_size, len(tensors), fitted.unread, known.recipe
    )


def released_layout(method: str) -> Released:
    """Return what is known about a method's released checkpoints.

    Raises:
        SettingsError: nothing is known.
    """
    if method not in RELEASED:
        raise SettingsError(
            f"no released checkpoints of method {method!r} are known; choose one of {', '.join(RELEASED)}"
        )
    return RELEASED[method]


def read_names(path: Path, background: bool) -> Classes:
    """Read classes from a file with one name per line; a first line "background" or ``background`` adds the background.

    Raises:
        DataError: the file cannot be used.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; list one class per line, in the checkpoint's order")
    classes = read_classes(path, ())
    return Classes(classes.names, BACKGROUND) if background else classes


def read_released(path: Path, method: str, classes: Classes, where: Path) -> Fitted:
    """Read the tensors of a checkpoint under our names.

    Raises:
        WeightsError: it cannot be read, or belongs to another method or another number of classes.
    """
    content, _ = read_state(path)
    state = without_prefix(content)
    try:
        fitted = fit_state(state, RELEASED[method].layout)
    except ValueError as error:
        fits = [name for name, other in RELEASED.items() if is_of(state, other.layout)]
        hint = f"it fits another method: --method {fits[0]}" if fits else f"name its method: {', '.join(RELEASED)}"
        if not fits and is_plain_vit(state):
            hint = f"it is a plain ViT, of none of the released methods; train one on it: train --weights {path}"
        raise WeightsError(f"{path} is not a released checkpoint of {method}: {error}; {hint}") from None
    if fitted.size.classes != len(classes):
        raise WeightsError(
            f"{path}: the head has {fitted.size.classes} classes, but {where} lists {len(classes)}; list the classes "
            "it was trained on, one per line and in its order, and the background only as a first line background or "
            "with --background"
        )
    require_numbers(fitted.tensors, path)
    return fitted


def is_of(state: Mapping[str, Tensor], known: Layout) -> bool:
    """Whether the tensors fit a layout."""
    try:
        fit_state(state, known)
    except ValueError:
        return False
    return True


def is_plain_vit(state: Mapping[str, Tensor]) -> bool:
    """Whether the tensors are those of a ViT with one class token, as pretrained ones are."""
    own = state.get("cls_token")
    return "blocks.0.attn.qkv.weight" in state and own is not None and own.shape[:-1] == (1, 1)


def settings_for(method: str, known: Released, size: Size, image_size: int | None) -> TrainSettings:
    """The settings of the published recipe, with the checkpoint's backbone.

    Raises:
        SettingsError: the image size does not fit the patch.
    """
    side = size.side * size.patch if image_size is None else image_size
    if side % size.patch or side < size.patch:
        near = max(round(side / size.patch), 1) * size.patch
        raise SettingsError(
            f"--image-size {side} is not a multiple of the checkpoint's patch, {size.patch}; try {near}"
        )
    values = read_recipe(known.recipe).of("train")
    deit = DEIT.get((size.width, size.depth, size.patch))
    shape = {"patch": size.patch, "width": size.width, "depth": size.depth, "heads": size.heads}
    own = shape if deit is None else {"name": f"deit_{deit}_patch16_224"}
    values["backbone"] = {**values["backbone"], **own, "image_size": side}
    chosen = method_settings(method, values.get("method_settings", {})).model_dump(mode="json")
    return TrainSettings.parse({**values, "method_settings": chosen}, where=f"--method {method}")


def resample_positions(fitted: Fitted, backbone: BackboneSettings) -> dict[str, Tensor]:
    """Resample the positions to the patches of ``image_size`` as the authors' code does; return all tensors."""
    side = backbone.image_size // fitted.size.patch
    if side == fitted.size.side:
        return fitted.tensors
    position = RESAMPLINGS[backbone.positions].later(fitted.tensors["vit.position"], (side, side))
    return {**fitted.tensors, "vit.position": position}
