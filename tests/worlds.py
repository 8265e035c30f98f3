"""What the code blocks of our pages find in their folder, each made once, with networks that train in a second."""

from __future__ import annotations

import atexit
import contextlib
import copy
import io
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from trees import TREES

import tag2mask
from backbones import save_backbone
from command import call
from tag2mask.affinitynet.settings import WalkSettings
from tag2mask.probe.settings import ProbeSettings
from tag2mask.segmentation.settings import SegmentSettings
from tag2mask.settings import Settings, merge_settings
from tag2mask.synthetic.defects import write_defects
from tag2mask.synthetic.landcover import write_landcover
from tag2mask.training.settings import TrainSettings
from tag2mask.workflows import compare
from tag2mask.workflows.children import Finished
from tag2mask.workflows.settings import WholeSettings

COLOURS = {"cow": (150, 90, 50), "grass": (60, 160, 60), "sheep": (225, 220, 210)}
BACKBONE = {"name": "vit_tiny_patch16_224", "image_size": 32, "patch": 8, "width": 24, "depth": 12, "heads": 3}
WEIGHTS = Path(tempfile.mkdtemp(prefix="weights-")) / "small.safetensors"  # networks from scratch have no probe
atexit.register(shutil.rmtree, WEIGHTS.parent, ignore_errors=True)
save_backbone(BACKBONE, WEIGHTS)
LOOP = {"batch_size": 4, "precision": "fp32", "weights": "none", "workers": 0}
TRAIN = {**LOOP, "weights": str(WEIGHTS), "backbone": BACKBONE, "epochs": 2}
SEGMENT = {**LOOP, "epochs": 1}
PROBE = {"steps": 20}
TINY: Mapping[type[Settings], Mapping[str, Any]] = {
    TrainSettings: TRAIN,
    SegmentSettings: SEGMENT,
    ProbeSettings: PROBE,
    WalkSettings: {**LOOP, "epochs": 1, "side": 32},
    WholeSettings: {"train": TRAIN, "segment": SEGMENT, "probe": PROBE},
}


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every training tiny, whatever a page says about its network, weights and epochs."""
    for settings, tiny in TINY.items():
        monkeypatch.setattr(settings, "parse", classmethod(parse_tiny(settings, tiny)))
    monkeypatch.setattr(compare, "epochs_in", lambda plan, method: 1)
    monkeypatch.setattr(compare, "run_verb", partial(run_here, monkeypatch))


def run_here(monkeypatch: pytest.MonkeyPatch, words: Sequence[str]) -> Finished:
    """Run a verb of ``compare`` in this process, which saves it seconds of imports."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = call(monkeypatch, *words)
    return Finished(printed.getvalue(), code, 0)


def parse_tiny(settings: type[Settings], tiny: Mapping[str, Any]) -> Callable[..., Settings]:
    parse = settings.parse.__func__  # type: ignore[attr-defined]

    def parse_small(cls: type[Settings], values: Mapping[str, Any], where: str = "settings") -> Settings:
        asked = parse(cls, values, where)  # what the page says is checked, too
        smaller = copy.deepcopy(asked.model_dump(exclude_unset=True))
        merge_settings(smaller, copy.deepcopy(dict(tiny)))
        made: Settings = parse(cls, smaller, where)
        return made

    return parse_small


def draw(left: str, right: str, generator: np.random.Generator) -> tuple[Image.Image, np.ndarray]:
    """An image of two halves, and the place of the right one."""
    pixels = np.zeros((48, 64, 3))
    pixels[:, :32], pixels[:, 32:] = COLOURS[left], COLOURS[right]
    noisy = (pixels + generator.normal(0, 12, pixels.shape)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(noisy), np.indices((48, 64))[1] >= 32


def write_photos(root: Path) -> None:
    """Fifteen images in the folder form, with true masks and three splits."""
    generator, names, rows = np.random.default_rng(0), list(COLOURS), ["image,labels"]
    for folder in ("images", "masks", "splits"):
        (root / folder).mkdir(parents=True)
    stems = []
    for i in range(15):
        left, right = generator.choice(len(names), 2, replace=False)
        image, right_half = draw(names[left], names[right], generator)
        stems.append(f"{names[left]}_{i}")
        image.save(root / f"images/{stems[-1]}.jpg", quality=95)
        Image.fromarray(np.where(right_half, right + 1, left + 1).astype(np.uint8)).save(
            root / f"masks/{stems[-1]}.png"
        )
        rows.append(f"{stems[-1]}.jpg,{names[left]};{names[right]}")
    (root / "classes.txt").write_text("\n".join(["background", *names]) + "\n")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    for split, part in {"train": stems[:9], "val": stems[9:12], "test": stems[12:]}.items():
        (root / f"splits/{split}.txt").write_text("\n".join(part) + "\n")


def write_images(root: Path) -> None:
    """Three images without tags."""
    root.mkdir()
    for name in ("a", "b", "c"):
        draw("cow", "grass", np.random.default_rng(ord(name)))[0].save(root / f"{name}.jpg")


def write_three(work: Path) -> None:
    write_images(work / "three")
    for path in (work / "three").iterdir():
        path.rename(work / path.name)
    (work / "three").rmdir()


def plant(source: str, work: Path) -> None:
    """A small data set in the layout of a source."""
    TREES[source](work / "ROOT")


# By name: what it needs, how it is made in the folder ``work``, and the paths that it then consists of.
WORLDS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "nothing": ("", lambda work: None, ""),
    "photos": ("", lambda work: write_photos(work / "photos"), "photos"),
    "new_images": ("", lambda work: write_images(work / "new_images"), "new_images"),
    "abc": ("", write_three, "a.jpg b.jpg c.jpg"),
    "tiles": ("", lambda work: write_landcover(work / "tiles", {"train": 6, "val": 2}, side=32), "tiles"),
    "parts": ("", lambda work: write_defects(work / "parts", {"train": 6, "val": 2}, side=48), "parts"),
    "run": ("photos", lambda work: tag2mask.train(work / "photos", work / "run"), "run"),
    "masks": ("photos run", lambda work: tag2mask.make_masks(work / "run"), "run/masks-train"),
    "probe": ("photos run", lambda work: tag2mask.train_probe(work / "run", work / "probe"), "probe"),
    "student": (
        "photos run masks",
        lambda work: tag2mask.segment(work / "run", work / "run/masks-train", work / "student"),
        "student",
    ),
    "student.onnx": ("student", lambda work: tag2mask.export(work / "student", work / "student.onnx"), "student.onnx"),
    "val_masks": (
        "photos student",
        lambda work: tag2mask.predict(work / "student", [], work / "val_masks", split="val"),
        "val_masks",
    ),
}
WORLDS |= {f"the tree of {name}": ("", partial(plant, name), "ROOT") for name in TREES}


class Worlds:
    """The worlds as made in ``work``, kept in ``kept``; the paths in their files are those of ``work``."""

    def __init__(self, work: Path, kept: Path) -> None:
        self.work = work
        self.kept = kept

    def give(self, names: list[str]) -> Path:
        """An empty folder ``work`` but for these worlds and what they need."""
        for name in names:
            self.make(name)
        self.clear()
        for name in names:
            self.put(name)
        return self.work

    def clear(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()

    def make(self, name: str) -> None:
        needs, make, paths = WORLDS[name]
        if (self.kept / name).exists():
            return
        self.give(needs.split())
        make(self.work)
        for path in paths.split():
            copy_to(self.work / path, self.kept / name / path)

    def put(self, name: str) -> None:
        for need in WORLDS[name][0].split():
            self.put(need)
        for path in WORLDS[name][2].split():
            if not (self.work / path).exists():
                copy_to(self.kept / name / path, self.work / path)


def copy_to(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
