"""Several processes that train one model: sums over processes, and detection of lost processes.

A collective operation alone would wait for a lost process for ten minutes or more. Each process therefore writes a
heartbeat to the shared store every few seconds, and a thread watches those of the others.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from tag2mask.errors import RunError

TICK = 3.0  # seconds between heartbeats
MISSED = 10  # missed heartbeats after which a process counts as lost
GONE = "{} of this training ended; fix the cause, which its messages state, then continue with --resume"
LOST = 2  # the exit code


def alone() -> bool:
    """Whether this is the only process."""
    return not dist.is_initialized() or dist.get_world_size() == 1


def first() -> bool:
    """Whether this is the only process, or the first of those that train together."""
    return not dist.is_initialized() or dist.get_rank() == 0


def add_up(values: Tensor) -> Tensor:
    """The sum over all processes, on each of them."""
    if not alone():
        dist.all_reduce(values)
    return values


def collect(values: list[Any]) -> list[Any]:
    """Concatenate the values of all processes, on each of them."""
    if alone():
        return values
    parts: list[list[Any]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, values)
    return [value for part in parts for value in part]


class Watch:
    """Sends the heartbeats of this process and watches those of the others."""

    def __init__(self, store: Store, process: int, processes: int) -> None:
        self.store = store
        self.process = process
        self.others = [other for other in range(processes) if other != process]
        self.seen: dict[int, bytes] = {}
        self.missed = dict.fromkeys(self.others, 0)
        self.passed = 0
        self.over = threading.Event()

    def run(self) -> None:
        """Watch until the training ends; if a process is lost, end this one, since its main thread may wait for it."""
        ticks = 0
        while not self.over.wait(TICK):
            ticks += 1
            gone = self.look(ticks)
            # Wait one more tick: all may have ended normally, and the one that holds the store first.
            if gone is not None and not self.over.wait(TICK):
                sys.stderr.write(f"error: {GONE.format(gone)}\n")
                sys.stderr.flush()
                os._exit(LOST)

    def look(self, ticks: int) -> str | None:
        """Send a heartbeat and check those of the others; return the name of a lost process, if there is one.

        This counts ticks, not seconds: a computer that slept, or processes that were stopped together, miss none.
        """
        try:
            self.store.set(f"alive/{self.process}", str(ticks))
            for other in self.others:
                key = f"alive/{other}"
                if self.store.check([key]):  # before its first heartbeat it may still be starting
                    sign = self.store.get(key)
                    self.missed[other] = self.missed[other] + 1 if sign == self.seen.get(other) else 0
                    self.seen[other] = sign
        except RuntimeError:  # lost: the process or launcher that holds the store
            return "the first process"
        return next((f"process {other}" for other, missed in self.missed.items() if missed >= MISSED), None)

    def wait_for_first(self) -> None:
        """Wait until the first process gets here, however long it takes; Ctrl-C ends the wait."""
        self.passed += 1
        key = f"passed/{self.passed}"
        if self.process == 0:
            self.store.set(key, "")
        while not self.store.check([key]):
            time.sleep(0.1)


watches: list[Watch] = []  # empty, or this process's watch
numbers = count(1)


@contextmanager
def together() -> Iterator[None]:
    """In this context, all processes end with a message when one of them ends.

    Does nothing for a single process, or inside another ``together``.

    Raises:
        RunError: another process ended.
    """
    if alone() or watches:
        yield
        return
    # A separate connection: the main thread may hold the other one while it waits.
    store = TCPStore(
        os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timeout=timedelta(seconds=20), wait_for_workers=False
    )
    watch = Watch(PrefixStore(f"tag2mask-{next(numbers)}", store), dist.get_rank(), dist.get_world_size())
    watches.append(watch)
    watch.look(0)  # the first heartbeat before any work: a process lost from here on is noticed
    threading.Thread(target=watch.run, daemon=True).start()
    try:
        yield
        dist.barrier()
    except RuntimeError as error:
        if not by_others(error):
            raise
        raise RunError(GONE.format("another process")) from None
    finally:
        watch.over.set()
        watches.clear()


def by_others(error: RuntimeError) -> bool:
    """Whether a collective operation failed; gloo's errors have no class of their own."""
    return isinstance(error, dist.DistError) or "gloo" in str(error) or "Connection" in str(error)


def wait_for_first() -> None:
    """Wait until the first process gets here."""
    for watch in watches:
        watch.wait_for_first()
