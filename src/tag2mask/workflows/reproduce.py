"""Reproduction of rows in the papers' tables: the commands for a row, and our result beside the published one."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tag2mask.errors import RunError, SettingsError
from tag2mask.files import held
from tag2mask.training.checkpoint import can_resume
from tag2mask.workflows.children import run_verb
from tag2mask.workflows.published import PUBLISHED, PublishedRow
from tag2mask.workflows.stages import Stages


@dataclass(frozen=True)
class Command:
    """One command with its options, and the path of its product."""

    name: str
    words: tuple[str, ...]
    product: Path

    def line(self) -> str:
        """Return the command as a shell line."""
        return shlex.join(("tag2mask", *self.words))


@dataclass(frozen=True)
class Reproduction:
    """A row's name, the folder of its data set, the output folder, and further options for ``train``."""

    name: str
    root: Path
    out: Path
    options: Sequence[str] = ()

    @property
    def row(self) -> PublishedRow:
        """The row.

        Raises:
            SettingsError: there is no row of that name.
        """
        if self.name not in PUBLISHED:
            raise SettingsError(f"row {self.name!r} is unknown; tag2mask reproduce without a name lists them")
        return PUBLISHED[self.name]

    def scored(self) -> Path:
        """Return the mask set that is scored."""
        return self.out / (f"masks-{self.row.split}" if self.row.scored == "masks" else f"predicted-{self.row.split}")

    def commands(self) -> Iterator[Command]:
        """Yield all commands except the last one, ``evaluate``."""
        row, data, run = self.row, self.out / "data", self.out / "run"
        yield Command(
            "prepare", ("prepare", row.source, "--root", str(self.root), "--out", str(data), *row.prepare), data
        )
        learn = ("--split", row.learn, "--set", f"val_split={'val' if row.validate else 'null'}")
        train = ("train", str(data), "--out", str(run), "--recipe", row.recipe, "--no-probe", *learn, *row.train)
        yield Command("train", (*train, *self.options), run)
        if row.walk:
            walk = ("refine-train", str(run), "--out", str(self.walk()), "--split", row.learn, *row.walk)
            yield Command("refine-train", walk, self.walk())
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
        """Return the command that paints the run's masks of a split."""
        out = self.out / f"masks-{split}"
        named = ("--recipe", self.row.recipe, "--split", split, "--tags", tags, "--out", str(out), *self.row.paint)
        if self.row.walk:
            named = (*named, "--refine", "affinity,walk", "--walk", str(self.walk()))
        return Command(f"masks {split}", ("masks", str(self.out / "run"), *named), out)

    def walk(self) -> Path:
        """Return the folder of the trained walk."""
        return self.out / "walk"

    def evaluate(self) -> Command:
        """Return the last command, ``evaluate``."""
        words = ("evaluate", str(self.scored()), "--truth", str(self.out / "data" / "masks"), "--json")
        return Command("evaluate", words, self.scored())

    def lines(self) -> list[str]:
        """Return all commands as shell lines."""
        return [command.line() for command in (*self.commands(), self.evaluate())]

    def go(self) -> dict[str, Any]:
        """Run the remaining commands, and return our scores with the published ones.

        Raises:
            RunError: a command failed, another process uses ``out``, or it holds the results of other commands.
        """
        with held(self.out):
            stages = Stages.of_folder(self.out)
            for command in self.commands():
                self.require_same(command, stages.before.get(command.name))
                stages.stage(command.name, command.product, partial(done, command))
            scores = json.loads(capture_output(self.evaluate()).splitlines()[-1])
        return {"row": self.name, "title": self.row.title, "results": compare_scores(self.row.published, scores)}

    def require_same(self, command: Command, before: Mapping[str, Any] | None) -> None:
        """Check that a stage that was finished before, if it was, ran this command.

        Raises:
            RunError: it ran another one.
        """
        if before is not None and before.get("command") != command.line():
            raise RunError(
                f"{self.out} holds {command.name} by another command than {command.line()}; choose another --out, or "
                "delete it"
            )


def compare_scores(
    published: Mapping[str, float | None], scores: Mapping[str, Any]
) -> dict[str, dict[str, float | None]]:
    """Return our score, the paper's and the difference by metric; the latter two are None if no number is known."""
    return {
        metric: {
            "ours": scores[metric],
            "published": value,
            "difference": None if value is None else round(scores[metric] - value, 2),
        }
        for metric, value in published.items()
    }


def done(command: Command) -> dict[str, Any]:
    """Run a command and return its shell line."""
    capture_output(command)
    return {"command": command.line()}


def capture_output(command: Command) -> str:
    """Run a command and return its output on stdout; its progress and errors go to our stderr.

    Raises:
        RunError: it failed.
    """
    resumable = command.words[0] in ("train", "segment", "refine-train") and can_resume(command.product)
    resumed = ("--resume",) if resumable else ()
    finished = run_verb([*command.words, *resumed])
    if finished.code != 0:
        raise RunError(f"this command failed with exit code {finished.code}: {command.line()}")
    return finished.printed
