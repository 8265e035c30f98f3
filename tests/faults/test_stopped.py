"""Killed, interrupted and terminated at random moments: the same command goes on, and nothing is lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from trials import Child, Counts, Work, attempt, moments, run, stopped, whole

from command import SMALL

KILLED = ["train", "masks", "segment", "refine-train", "prepare", "run"]
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, signal.SIGTERM: 143}


def disturb_all(
    root: Path, works: list[Work], signals: list[signal.Signals], count: int, counts: Counts, seed: int = 0
) -> None:
    """So many moments for each verb, the signals one after another."""
    for number, work in enumerate(works):
        expected, took = whole(work)
        for turn, moment in enumerate(moments(seed + number, count, took)):
            signum = signals[turn % len(signals)]
            attempt(work, expected, root, partial(stopped, work.words, moment, signum), [CODES[signum]], counts)


@pytest.mark.parametrize(
    ("name", "signum"),
    [
        ("train", signal.SIGKILL),
        ("refine-train", signal.SIGKILL),
        ("masks", signal.SIGTERM),
        ("shard", signal.SIGKILL),
        ("prepare", signal.SIGINT),
    ],
)
def test_a_verb_that_was_stopped_goes_on(
    name: str, signum: signal.Signals, root: Path, work: Callable[[str], Work]
) -> None:
    counts = Counts()
    disturb_all(root, [work(name)], [signum], 1, counts, seed=int(signum))
    counts.require_none_lost()


@pytest.mark.faults
@pytest.mark.timeout(3000)
def test_killed_at_fifty_moments(root: Path, work: Callable[[str], Work], tell: Callable[[str], None]) -> None:
    counts = Counts()
    disturb_all(root, [work(name) for name in KILLED], [signal.SIGKILL], 10, counts)
    tell(counts.line("SIGKILL"))
    counts.require_none_lost()


@pytest.mark.faults
@pytest.mark.timeout(3000)
def test_interrupted_and_terminated_at_twenty_moments_each(
    root: Path, work: Callable[[str], Work], tell: Callable[[str], None]
) -> None:
    for signum in (signal.SIGINT, signal.SIGTERM):
        counts = Counts()
        disturb_all(root, [work(name) for name in KILLED], [signum], 4, counts, seed=100)
        tell(counts.line(signum.name))
        counts.require_none_lost()


@pytest.mark.parametrize(
    ("signum", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_training_saves_says_so_and_ends_with_the_code_of_the_signal(
    signum: signal.Signals, code: int, word: str, root: Path
) -> None:
    out = root / f"stopped-{word}"
    with Child(["train", root / "data", "--out", out, "--epochs", 500, *SMALL]) as child:
        while not (out / "metrics.jsonl").exists() and not child.ended():
            time.sleep(0.005)
        child.send(signum)
    assert child.code == code, child.said
    assert child.said.splitlines()[-1].startswith(f"{word}: finished work is saved; run the same command again")
    assert (out / "state.safetensors").is_file()
    assert "Traceback" not in child.said


def test_the_lock_ends_with_the_main_process_whatever_workers_it_had(root: Path) -> None:
    out = root / "with-workers"
    words = ["train", root / "data", "--out", out, *SMALL, "--set=workers=2", "--set=save_minutes=0"]
    with Child([*words, "--epochs", 2000]) as child:
        while not (out / "metrics.jsonl").exists() and not child.ended():
            time.sleep(0.005)
        again = run(*words, "--epochs", 2000, "--resume")
        child.send(signal.SIGKILL)
        while not child.ended():
            time.sleep(0.001)
        with Child([*words, "--epochs", 2000, "--resume"]) as second:
            while b"resumed at step" not in b"".join(second.pieces) and not second.ended():
                time.sleep(0.005)
            second.send(signal.SIGTERM)
    assert "with-workers is in use by another tag2mask" in again.said
    assert second.code == 143, second.said
