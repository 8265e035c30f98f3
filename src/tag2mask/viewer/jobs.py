"""Work for many images in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tag2mask.viewer.masks import Item
from tag2mask.viewer.queue import report_failure

KEPT = 100  # finished jobs that can still be asked about


@dataclass
class Job:
    """The progress of a job."""

    total: int
    done: int = 0
    failed: int = 0


class Jobs:
    """Runs one job after another in a thread."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.pool = ThreadPoolExecutor(1, "job")
        self.jobs: dict[int, Job] = {}
        self.count = 0
        self.lock = threading.Lock()

    def start(self, items: Sequence[Item], work: Callable[[Item], object]) -> int:
        """Start ``work`` on all images and return the job's number."""
        job = Job(len(items))
        with self.lock:
            self.count += 1
            self.jobs[self.count] = job
            for number in list(self.jobs)[:-KEPT]:
                del self.jobs[number]
        self.pool.submit(self.go, job, items, work)
        return self.count

    def go(self, job: Job, items: Sequence[Item], work: Callable[[Item], object]) -> None:
        """Do the work; an image that fails is counted."""
        for item in items:
            if self.stopping.is_set():
                return
            try:
                work(item)
            except Exception as error:  # a full disk fails one image, but must not hang the page
                report_failure(item.name, error)
                job.failed += 1
            job.done += 1

    def close(self) -> None:
        """Wait for the image at hand, and forget the rest."""
        self.stopping.set()
        self.pool.shutdown(cancel_futures=True)
