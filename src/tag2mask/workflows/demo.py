"""The whole workflow on generated scenes: compose, train from tags alone, paint, score, report."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tag2mask.evaluation.evaluate import evaluate
from tag2mask.files import delete, held
from tag2mask.masks.settings import MaskSettings
from tag2mask.painting.make import make_masks
from tag2mask.reports.page import write_report
from tag2mask.synthetic.digits import write_scenes
from tag2mask.training.checkpoint import can_resume
from tag2mask.training.loop import train
from tag2mask.training.settings import TrainSettings
from tag2mask.workflows.stages import Stages

SCENES = {"train": 6400, "val": 100, "test": 100}
SIDE = 64
# A small transformer trained from scratch. Rotary positions learn fastest. Class tokens only read, in the last two
# layers, since a layer that sees raw patches cannot tell digits apart. Many scenes seen four times beat few seen often.
# The default method gives mIoU 69.2 on the test scenes in place of 73.8 (seed 0, 2026-11-30).
TRAIN: dict[str, Any] = {
    "backbone": {
        "name": "eva02_tiny_patch14_224",
        "image_size": SIDE,
        "patch": 8,
        "width": 96,
        "depth": 3,
        "heads": 3,
        "drop_path": 0.0,
    },
    "method": "attended",
    "method_settings": {
        "class_attention": "readers",
        "masking_ratio": 0.0,
        "attended_layers": 2,
        "map_layers": 2,
    },
    "weights": "none",
    "epochs": 4,
    "batch_size": 16,
    "optimiser": {"lr_backbone": 1e-3, "lr_tokens": 3e-3, "clip": 1.0},
    "precision": "fp32",
    "augment": {"min_scale": 1.0, "flip": 0.0, "colour": 0.0, "hide": 0.6},
}
MASKS: dict[str, Any] = {"split": "test", "refine": "pamr"}


def run_demo(out: Path) -> dict[str, Any]:
    """Run the demo in ``out`` and return paths and scores; after an interruption, the same call resumes.

    Raises:
        RunError: ``out`` holds something else, or another process uses it.
    """
    data, run = out / "data", out / "run"
    settings = TrainSettings.parse(TRAIN)
    with held(out):
        stages = Stages.of_folder(out)
        stages.stage("scenes", data, partial(compose_scenes, data))
        trained = stages.stage("train", run, lambda: train(data, run, settings, can_resume(run)).to_json())
        made = make_masks(run, settings=MaskSettings.parse(MASKS))
        scores = evaluate(made.path, data / "masks")
        page = write_report(run, made.path, data / "masks")
    return {
        "run": str(run),
        "masks": str(made.path),
        "report": str(page),
        "val_ap": trained["best_ap"],
        "scores": scores.to_json(),
    }


def compose_scenes(data: Path) -> dict[str, Any]:
    """Write the scenes, from scratch."""
    delete(data)
    write_scenes(data, SCENES, SIDE)
    return dict(SCENES)
