"""Variants of one piece of work, timed in turn: what every row of ``speed.py`` is measured by.

Each variant lives in a process of its own, so that its peak memory is its own. The rounds take turns (A B A B ...), so
that a machine that slows down slows all alike, and a ratio is that of one round.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from tag2mask.measuring import Work as Work
from tag2mask.measuring import peak_mib, spread, timed


@dataclass(frozen=True)
class Case:
    """Variants by name, each a function that gets ready and returns the work; the first is ours, the last the baseline.

    ``clock`` is what is compared: "cpu" is steady on a busy machine, "wall" counts what threads do side by side.
    ``target`` is a ratio of times: the baseline is to take at least this many times as long as ours, or, with
    ``at_most``, ours at most this many times as long as the baseline.
    """

    about: str
    variants: Mapping[str, Callable[[], Work]]
    target: float | None = None
    at_most: bool = False
    clock: str = "cpu"


def serve(prepare: Callable[[], Work]) -> None:
    """Do the work once for every line on standard input; say how long it took and how far memory has risen."""
    work = prepare()
    before = peak_mib()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps({**timed(work), "mib": peak_mib() - before}), flush=True)


def measure(command: Sequence[str], variants: Sequence[str], rounds: int) -> dict[str, list[dict[str, float]]]:
    """The rounds of every variant, each served by ``command`` with its name; one round before them warms up."""
    workers = {
        name: subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in variants
    }
    pipes = {name: (opened(worker.stdin), opened(worker.stdout)) for name, worker in workers.items()}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    for _, answers in pipes.values():
        answers.readline()
    for turn in range(rounds + 1):
        for name, (orders, answers) in pipes.items():
            orders.write("go\n")
            orders.flush()
            row = json.loads(answers.readline())
            if turn:
                found[name].append(row)
    for worker in workers.values():
        worker.communicate()
    return found


def opened(pipe: IO[str] | None) -> IO[str]:
    """A pipe that was asked for."""
    assert pipe is not None
    return pipe


def summarise(case: Case, found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Median, least and most seconds and the peak memory of every variant, and their ratios to ours by round."""
    ours = next(iter(case.variants))
    variants: dict[str, Any] = {}
    for name, rows in found.items():
        ratios = [row[case.clock] / own[case.clock] for row, own in zip(rows, found[ours], strict=True)]
        variants[name] = {
            **{clock: spread([row[clock] for row in rows]) for clock in ("cpu", "wall")},
            "mib": rows[-1]["mib"],
            "ratio": spread(ratios),
        }
    return {
        "about": case.about,
        "clock": case.clock,
        "target": case.target,
        "at_most": case.at_most,
        "variants": variants,
    }


def lines(name: str, row: Mapping[str, Any]) -> list[str]:
    """Lines of the table: one a variant."""
    made = []
    for variant, one in row["variants"].items():
        ratio, clock = one["ratio"], one[row["clock"]]
        cells = [row["clock"], f"{clock['median']:.4g}", f"{clock['min']:.4g} to {clock['max']:.4g}"]
        cells += [f"{one['mib']:.0f}", f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"]
        made.append(f"| {name} | {variant} | {' | '.join(cells)} |")
    return made


HEADER = "| case | ours, s | other, s | other / ours | MiB, ours and other | target |\n" + "|---" * 6 + "|"


def page_lines(row: Mapping[str, Any]) -> list[str]:
    """Lines of the table in ``docs/performance.md``: one for every variant that is not ours."""
    (_, ours), *others = row["variants"].items()
    clock = row["clock"]
    about = row["about"] + (" (wall)" if clock == "wall" else "")
    if not others:
        return [f"| {about} | {ours[clock]['median']:.2g} | | | {ours['mib']:.0f} | |"]
    made = []
    for name, one in others:
        ratio = one["ratio"]
        spread_of_it = f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"
        target = "" if row["target"] is None or (name, one) != others[-1] else target_of(row)
        cells = [f"{about}: {name}", f"{ours[clock]['median']:.2g}", f"{one[clock]['median']:.2g}", spread_of_it]
        made.append(f"| {' | '.join(cells)} | {ours['mib']:.0f}, {one['mib']:.0f} | {target} |")
    return made


def target_of(row: Mapping[str, Any]) -> str:
    """The least ratio that is wanted."""
    least = 1 / row["target"] if row["at_most"] else row["target"]
    return f"at least {least:.3g}"
