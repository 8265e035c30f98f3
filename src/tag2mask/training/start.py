"""Checks before the first step, and the files that a run folder holds at that point."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import accelerate
import timm
import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, parse_flag_from_env

from tag2mask._version import __version__
from tag2mask.beginnings import ELSEWHERE, require_begun_as, require_vacant
from tag2mask.data import Classes, Sample, open_dataset
from tag2mask.errors import RunError, SettingsError, SplitMissingError
from tag2mask.files import abandon, begin, held, list_leftovers, settle, write_json, write_yaml
from tag2mask.methods import method_settings
from tag2mask.settings import read_yaml
from tag2mask.training import run as layout
from tag2mask.training.checkpoint import STATE
from tag2mask.training.settings import LoopSettings, Precision, TrainSettings, with_heads_rate
from tag2mask.training.together import first
from tag2mask.vit.weights import WeightsReport, normalisation

SPLITTING = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM")  # launchers set these
HEADER = (layout.CONFIG, layout.CLASSES, layout.WEIGHTS)  # files written before the first step


def open_validation(data: Path, settings: TrainSettings) -> list[Sample]:
    """Return the images of the validation split that have tags; none if the data has no such split."""
    if settings.val_split is None:
        return []
    try:
        dataset = open_dataset(data, settings.data, settings.val_split)
    except SplitMissingError:
        if "val_split" in settings.model_fields_set:
            raise
        return []
    return [sample for sample in dataset if sample.tags is not None]


def complete(settings: TrainSettings, data: Path | None) -> TrainSettings:
    """Complete the settings from those stored in the data set, and set the backbone's number of bands.

    Images in memory, without a folder ``data``, store no settings.

    Raises:
        SettingsError: the data set's own settings cannot be used, or the backbone is set to another number of bands.
    """
    own, backbone = settings.data if data is None else settings.data.completed(data), settings.backbone
    if "bands" not in backbone.model_fields_set:
        backbone = backbone.model_copy(update={"bands": own.bands})
    if own.bands != backbone.bands:
        raise SettingsError(f"data.bands is {own.bands}, backbone.bands {backbone.bands}: set only data.bands")
    return settings.model_copy(update={"data": own, "backbone": backbone})


def mixed_precision(precision: Precision) -> str:
    """Return accelerate's name; ``auto`` is bf16 if the device supports it, else fp16 on a GPU and fp32 on a CPU.

    Raises:
        SettingsError: fp16 without a GPU.
    """
    if precision == "fp16" and not torch.cuda.is_available():
        raise SettingsError("precision fp16 needs a GPU: use bf16, fp32 or auto")
    if precision != "auto":
        return "no" if precision == "fp32" else precision
    if torch.cuda.is_available():  # GPUs that only emulate bf16 are slow at it
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "no"


def as_trained(precision: Precision, device: torch.device) -> torch.autocast:
    """Run a network on ``device`` in the precision of its training; one in fp16 on a GPU also runs without one."""
    half = mixed_precision("auto" if precision == "fp16" and device.type == "cpu" else precision)
    return torch.autocast(device.type, torch.float16 if half == "fp16" else torch.bfloat16, enabled=half != "no")


def open_accelerator(settings: LoopSettings, all_learn: bool = True) -> Accelerator:
    """Open the devices in the settings' precision; ``all_learn`` is False if some weights get no gradient."""
    open_processes()
    return Accelerator(
        mixed_precision=mixed_precision(settings.precision),
        gradient_accumulation_steps=settings.accumulate,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=not all_learn)],
    )


def open_processes() -> PartialState:
    """Join the processes that train together.

    Raises:
        SettingsError: a launcher started several processes, but each would train alone, or hold a part of the model.
    """
    for name in filter(parse_flag_from_env, SPLITTING):
        raise SettingsError(
            f"{name} is set, but every process must hold the whole model: use accelerate launch --multi_gpu; if memory "
            "is short, a smaller batch_size and a larger accumulate"
        )
    AcceleratorState._reset_state(reset_partial_state=True)  # an earlier run in this process may have had another state
    started = int(os.environ.get("WORLD_SIZE", "1"))
    # accelerate uses several processes on CPUs only on request.
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or (started > 1 and not torch.accelerator.is_available())
    state = PartialState(cpu=cpu)
    if state.num_processes == 1 < started:
        raise SettingsError(f"{started} processes were started, but each would train alone: set ACCELERATE_USE_CPU=1")
    return state


def require_folder(out: Path, settings: TrainSettings, resume: bool) -> None:
    """Check that ``out`` is free for a new run, or that the settings are those of the run to resume."""
    if resume:
        # A run of an earlier version does not have settings that were added later.
        require_same_settings(out, with_heads_rate(with_method_settings(layout.open_run(out).settings)), settings)
    else:
        require_empty(out)


def require_same_images(out: Path, source: Mapping[str, Any]) -> None:
    """Check that the run to resume was begun with these images and tags; earlier versions did not record them.

    Raises:
        RunError: it was begun with others.
    """
    key = "images_sha256"
    if read_yaml(out / layout.CONFIG).get(key, source[key]) != source[key]:
        raise RunError(
            f"{out}: images or tags of {source['data']} have changed since the training began; restore them to resume, "
            "or train into another folder"
        )


def with_method_settings(settings: TrainSettings) -> TrainSettings:
    """Write out all settings of the method, so that a run survives a change of defaults."""
    chosen = method_settings(settings.method, settings.method_settings).model_dump(mode="json")
    return settings.model_copy(update={"method_settings": chosen})


def require_empty(out: Path) -> None:
    """Check that ``out`` is free for a new run."""
    require_vacant(out, f"{ELSEWHERE}, or continue with --resume")


def require_same_settings(out: Path, before: LoopSettings, now: LoopSettings) -> None:
    """Check that the settings are those of the run to resume, except those that do not affect its result."""
    ignored = ("workers", "save_minutes", "memory")
    require_begun_as(out, before.model_dump(), now.model_dump(), "resume with the same settings", ignored=ignored)


@contextmanager
def own_folder(out: Path, resume: bool) -> Iterator[None]:
    """Reserve ``out`` for this training; if a new one fails before its first state, its files are removed.

    Raises:
        RunError: another process uses ``out``, or was faster.
    """
    if not first():
        yield
        return
    with held(out):
        if resume:
            settle(out)
        else:
            require_none(out)
            begin(out, HEADER)
        try:
            yield
        except BaseException:
            abandon(out)
            raise


def require_none(out: Path) -> None:
    """Check that no training was started in ``out``, other than one that stopped before its first state."""
    there = [
        name for name in (*HEADER, STATE, layout.MODEL) if (out / name).exists() and name not in list_leftovers(out)
    ]
    if there:
        raise RunError(f"{out / there[0]} already exists; choose another --out, or continue with --resume")


def write_run_header(
    out: Path, classes: Classes, settings: TrainSettings, report: WeightsReport, source: Mapping[str, Any]
) -> None:
    """Write all that a run holds before its first step; ``source`` holds the data entries of ``RunConfig``."""
    mean, std = normalisation(settings.backbone, settings.data)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / layout.CLASSES, classes.to_json())
    write_json(out / layout.WEIGHTS, asdict(report))
    write_yaml(
        out / layout.CONFIG,
        {
            "settings": settings.model_dump(mode="json"),
            **source,
            "mean": list(mean),
            "std": list(std),
            "versions": versions(),
        },
    )


def versions() -> dict[str, str]:
    """Versions of all packages that affect the result of the same settings."""
    return {
        "tag2mask": __version__,
        "torch": str(torch.__version__),
        "timm": timm.__version__,
        "accelerate": accelerate.__version__,
    }
