"""What the trials work on: a data set, a run, masks and a segmenter, all tiny, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from trials import Work, run

from command import SMALL

SEGMENT = ["--epochs", 2, "--batch-size", 4, "--set=precision=fp32", "--set=save_minutes=0"]
STAGES = [f"--set=train.{word.removeprefix('--set=')}" for word in SMALL if word.startswith("--set=")]
STAGES += ["--backbone=vit_tiny_patch16_224", "--weights=none", "--set=train.backbone.image_size=32"]
STAGES += ["--set=train.batch_size=4", "--set=train.precision=fp32", "--set=train.epochs=2"]
STAGES += ["--set=segment.epochs=1", "--set=segment.batch_size=4", "--set=segment.precision=fp32"]


@pytest.fixture(scope="session")
def root(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data``, ``run``, ``run/masks-train`` and ``segmenter``; trials write below it."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("faults")
    shutil.copytree(trained / "squares", folder / "data")
    shutil.copytree(folder / "data/images", folder / "source/images")
    shutil.copy(folder / "data/labels.csv", folder / "source/table.csv")
    for words in (
        ["train", folder / "data", "--out", folder / "run", "--epochs", 1, *SMALL],
        ["masks", folder / "run"],
        ["segment", folder / "run", "--masks", folder / "run/masks-train", "--out", folder / "segmenter", *SEGMENT],
    ):
        child = run(*words)
        assert child.code == 0, child.said
    return folder


@pytest.fixture(scope="session")
def work(root: Path) -> Callable[[str], Work]:
    """A verb by its name."""
    return lambda name: works(root)[name]


def works(root: Path) -> dict[str, Work]:
    """All verbs that write."""
    data, made, masks, out = root / "data", root / "run", root / "run/masks-train", root / "out"
    csv = [
        "prepare",
        "csv",
        "--root",
        root / "source",
        "--set=table=table.csv",
        "--set=images=images",
        "--set=separator=;",
        "--link=copy",
    ]
    table: dict[str, Work] = {
        "train": Work(
            "train",
            ["train", data, "--out", out, "--epochs", 2, "--set=save_minutes=0", *SMALL],
            out,
            ["model.safetensors", "classes.json", "config.yaml"],
            True,
        ),
        "masks": Work("masks", ["masks", made, "--split=all", "--refine=pamr", "--out", out], out),
        "shard": Work("shard", ["masks", made, "--split=all", "--shard=1/2", "--out", out], out),
        "segment": Work(
            "segment",
            ["segment", made, "--masks", masks, "--out", out, *SEGMENT],
            out,
            ["model.safetensors", "classes.json"],
            True,
        ),
        "prepare": Work("prepare", [*csv, "--out", out], out),
        "run": Work(
            "run",
            ["run", data, "--out", out, *STAGES],
            out,
            ["model.safetensors", ".png", "plan.json", "manifest.json"],
        ),
        "predict": Work("predict", ["predict", root / "segmenter", data / "images", "--out", out, "--overlay"], out),
        "refine-train": Work(
            "refine-train",
            ["refine-train", made, "--out", out, "--epochs", 2, "--set=side=32", "--set=save_minutes=0"],
            out,
            ["walk.safetensors", "config.yaml"],
            True,
        ),
        "report": Work("report", ["report", made, "--out", root / "page.html"], root / "page.html"),
        "export": Work("export", ["export", made, "--out", root / "model.onnx"], root / "model.onnx"),
    }
    for form, suffix in {"coco": ".json", "yolo": "", "cvat": ".zip", "voc": "", "geotiff": "", "npz": ""}.items():
        place = root / f"converted{suffix}"
        table[form] = Work(form, ["convert", masks, "--to", form, "--out", place], place)
    return table


@pytest.fixture
def tell(capfd: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Say a line of the suite's report."""

    def say(line: str) -> None:
        with capfd.disabled():
            print(f"\n{line}", flush=True)  # noqa: T201

    return say
