"""How torch's OpenMP threads wait for each other, and how many there are: chosen before torch is imported.

By default, a thread that waits for another one spins. That is fastest if each thread has a core of its own; otherwise
it uses up the time that the other thread needs. On a busy two-core machine (load 8), 20 steps of a small ViT took two
spinning threads 55 to 72 s (27 to 46 s of computing), two sleeping threads 1.4 to 2.1 s, and one thread 1.5 to 1.8 s.
Sleeping does not change results. Choosing the number of threads by the load would: it determines the order of sums,
and thus the last bits of the weights.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
COUNT = "OMP_NUM_THREADS"
CGROUP = Path("/sys/fs/cgroup")


def choose_threads(environment: MutableMapping[str, str], cgroup: Path = CGROUP) -> None:
    """Let threads sleep while they wait, and limit them to the cores that a container may use.

    OpenMP counts the cores that a process is bound to, but ignores a container's limit on CPU time. Variables that are
    already set stay: ``OMP_WAIT_POLICY=active`` lets threads spin, ``OMP_NUM_THREADS`` is their number.
    """
    if not any(name in environment for name in WAITING):
        environment["OMP_WAIT_POLICY"] = "passive"
    quota = cores_in(cgroup)
    if COUNT in environment or quota is None:
        return
    processes = max(int(environment.get("LOCAL_WORLD_SIZE", "1")), 1)
    threads = max(int(quota / processes), 1)
    if threads < bound_cores():
        environment[COUNT] = str(threads)


def bound_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_in(cgroup: Path) -> float | None:
    """Return a container's CPU limit in cores, from version 2 or 1 of Linux's control groups; None without a limit."""
    try:
        if (cgroup / "cpu.max").is_file():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text()
        cores = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return None
    return cores if cores > 0 else None
