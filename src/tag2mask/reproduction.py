"""Rows of the papers' tables: the commands that lead to one, and our result beside the published one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from tag2mask.children import run_verb
from tag2mask.errors import RunError, SettingsError
from tag2mask.files import held
from tag2mask.stages import Stages
from tag2mask.training.checkpoint import can_resume

SIX_SCALES = ("--scales", "0.5,0.75,1.0,1.25,1.5,1.75", "--flip")  # WeakTr's last evaluation


@dataclass(frozen=True)
class PublishedRow:
    """A row of a table: what is trained on what, whose masks of which split are scored, and the numbers in percent.

    ``masks`` are the run's own, painted from ``tags``; of a ``segmenter`` trained on those of ``learn``, they are what
    it predicts. ``prepare`` and ``predict`` are options of those verbs.
    """

    title: str
    source: str
    preset: str
    learn: str
    split: str
    published: Mapping[str, float]
    scored: Literal["masks", "segmenter"] = "masks"
    tags: Literal["given", "predicted"] = "given"
    validate: bool = True
    prepare: tuple[str, ...] = ()
    segment: tuple[str, ...] = ()
    predict: tuple[str, ...] = ()


VOC_SEGMENTER: Mapping[str, Any] = MappingProxyType(
    {"source": "voc", "learn": "train_aug", "split": "val", "scored": "segmenter"}
)

PUBLISHED: Mapping[str, PublishedRow] = MappingProxyType(
    {
        "tokenmasking-table1-train": PublishedRow(
            "TokenMasking, Table 1: pseudo-masks, VOC train",
            "voc", "voc-tokenmasking", "train_aug", "train", {"miou": 74.5},
        ),
        "tokenmasking-table1-val": PublishedRow(
            "TokenMasking, Table 1: pseudo-masks, VOC val",
            "voc", "voc-tokenmasking", "train_aug", "val", {"miou": 73.7}, tags="predicted",
        ),
        "tokenmasking-table2-voc": PublishedRow(
            "TokenMasking, Table 2: segmentation, VOC val (the paper does not name its network; ours is WeakTr's)",
            preset="voc-tokenmasking", published={"miou": 72.7}, **VOC_SEGMENTER,
        ),
        "tokenmasking-table2-coco": PublishedRow(
            "TokenMasking, Table 2: segmentation, COCO val (the paper does not name its network; ours is WeakTr's)",
            "coco", "coco-tokenmasking", "train", "val", {"miou": 43.2}, scored="segmenter",
        ),
        "tokenmasking-table3-dfc2020": PublishedRow(
            "TokenMasking, Table 3: DFC2020",
            "dfc2020", "dfc2020-tokenmasking", "train", "test", {"miou": 67.2, "pixel_accuracy": 74.1},
            tags="predicted", validate=False,
        ),
        "tokenmasking-table3-endotect": PublishedRow(
            "TokenMasking, Table 3: EndoTect",
            "endotect", "endotect-tokenmasking", "train", "val", {"miou": 69.8, "pixel_accuracy": 78.4},
            tags="predicted",
        ),
        "tokenmasking-table3-ade20k": PublishedRow(
            "TokenMasking, Table 3: ADE20K",
            "ade20k", "ade20k-tokenmasking", "train", "val", {"miou": 38.2, "pixel_accuracy": 51.8},
        ),
        "mctformer-table5-v1": PublishedRow(
            "MCTformer, Table 5: V1, attention and affinity, VOC train",
            "voc", "mctformer-v1", "train_aug", "train", {"miou": 55.2}, prepare=("--set", "tags=npy"),
        ),
        "mctformer-table5-v2": PublishedRow(
            "MCTformer, Table 5: V2, attention, PatchCAM and affinity, VOC train",
            "voc", "mctformer-v2", "train_aug", "train", {"miou": 61.7}, prepare=("--set", "tags=npy"),
        ),
        "weaktr-cam-voc": PublishedRow(
            "WeakTr: CAM with the CRF, VOC train",
            "voc", "voc-weaktr", "train_aug", "train", {"miou": 69.4}, prepare=("--set", "tags=npy"),
        ),
        "weaktr-cam-coco": PublishedRow(
            "WeakTr: CAM with the CRF, COCO 2014 train",
            "coco", "coco-weaktr", "train", "train", {"miou": 42.6}, prepare=("--set", "year=2014"),
        ),
        "weaktr-segmenter-voc": PublishedRow(
            "WeakTr: retraining, DeiT-S, VOC val, with the CRF",
            preset="voc-weaktr", published={"miou": 74.0}, prepare=("--set", "tags=npy"),
            segment=("--preset", "voc-weaktr"), predict=(*SIX_SCALES, "--refine", "crf"), **VOC_SEGMENTER,
        ),
    }
)  # fmt: skip


@dataclass(frozen=True)
class Command:
    """One verb with its options, and what it leaves."""

    name: str
    words: tuple[str, ...]
    product: Path

    def line(self) -> str:
        """For a shell."""
        return shlex.join(("tag2mask", *self.words))


@dataclass(frozen=True)
class Reproduction:
    """A row, where its data set lies, where everything goes, and what else ``train`` is told."""

    name: str
    root: Path
    out: Path
    options: Sequence[str] = ()

    @property
    def row(self) -> PublishedRow:
        """The row.

        Raises:
            SettingsError: there is none of that name.
        """
        if self.name not in PUBLISHED:
            raise SettingsError(f"row {self.name!r} is unknown; tag2mask reproduce without a name lists them")
        return PUBLISHED[self.name]

    def scored(self) -> Path:
        """The mask set that is scored."""
        return self.out / (f"masks-{self.row.split}" if self.row.scored == "masks" else f"predicted-{self.row.split}")

    def commands(self) -> Iterator[Command]:
        """All but the last, ``evaluate``."""
        row, data, run = self.row, self.out / "data", self.out / "run"
        yield Command(
            "prepare", ("prepare", row.source, "--root", str(self.root), "--out", str(data), *row.prepare), data
        )
        learn = ("--split", row.learn, "--set", f"val_split={'val' if row.validate else 'null'}")
        train = ("train", str(data), "--out", str(run), "--preset", row.preset, *learn, *self.options)
        yield Command("train", train, run)
        if row.scored == "masks":
            yield self.paint(row.split, row.tags)
            return
        yield self.paint(row.learn, "given")
        segmenter, masks = self.out / "segmenter", self.out / f"masks-{row.learn}"
        segment = ("segment", str(run), "--masks", str(masks), "--out", str(segmenter), *row.segment)
        yield Command("segment", segment, segmenter)
        predict = ("predict", str(segmenter), "--split", row.split, "--out", str(self.scored()), *row.predict)
        yield Command("predict", predict, self.scored())

    def paint(self, split: str, tags: str) -> Command:
        """The run's own masks of a split."""
        out = self.out / f"masks-{split}"
        named = ("--preset", self.row.preset, "--split", split, "--tags", tags, "--out", str(out))
        return Command(f"masks {split}", ("masks", str(self.out / "run"), *named), out)

    def evaluate(self) -> Command:
        """The last one."""
        words = ("evaluate", str(self.scored()), "--truth", str(self.out / "data" / "masks"), "--json")
        return Command("evaluate", words, self.scored())

    def lines(self) -> list[str]:
        """What to type."""
        return [command.line() for command in (*self.commands(), self.evaluate())]

    def go(self) -> dict[str, Any]:
        """Do what is left to do; scores beside the published ones.

        Raises:
            RunError: a command failed, or another process has ``out``.
        """
        with held(self.out):
            stages = Stages.of_folder(self.out)
            for command in self.commands():
                stages.stage(command.name, command.product, partial(done, command))
            scores = json.loads(printed(self.evaluate()).splitlines()[-1])
        return {"row": self.name, "title": self.row.title, "results": compared(self.row.published, scores)}


def compared(published: Mapping[str, float], scores: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """By metric: ours, the paper's, and how far ours is above."""
    return {
        metric: {"ours": scores[metric], "published": value, "difference": round(scores[metric] - value, 2)}
        for metric, value in published.items()
    }


def done(command: Command) -> dict[str, Any]:
    """Its line, when it is done."""
    printed(command)
    return {"command": command.line()}


def printed(command: Command) -> str:
    """What a command prints to stdout; its progress and its errors go where ours go.

    Raises:
        RunError: it failed.
    """
    resumed = ("--resume",) if command.words[0] in ("train", "segment") and can_resume(command.product) else ()
    finished = run_verb([*command.words, *resumed])
    if finished.code != 0:
        raise RunError(f"stopped with exit code {finished.code} at: {command.line()}")
    return finished.printed
