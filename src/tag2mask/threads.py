"""How torch's OpenMP threads wait for each other, and how many there are: chosen before torch is imported.

By default a thread that waits for another one spins. That is quickest where each thread has a core to itself. Where it
has not, it spins away the time that the other one needs. On a busy two-core machine (load 8), 20 steps of a small ViT
took two threads 55 to 72 s (27 to 46 s of computing). The same two threads took 1.4 to 2.1 s if they sleep while they
wait, and one thread took 1.5 to 1.8 s. Sleeping changes no result. A number of threads by the load would: it decides
the order of sums, and with it the last bits of the weights.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
COUNT = "OMP_NUM_THREADS"
CGROUP = Path("/sys/fs/cgroup")


def choose_threads(environment: MutableMapping[str, str], cgroup: Path = CGROUP) -> None:
    """Threads sleep while they wait, and are no more than the cores that a container may use.

    OpenMP counts the cores that a process is bound to, but not a container's share of their time. What is set already
    stays: ``OMP_WAIT_POLICY=active`` spins, ``OMP_NUM_THREADS`` is how many there are.
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
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_in(cgroup: Path) -> float | None:
    """How many cores' time a container has, by version 2 or 1 of Linux's control groups; None without a limit."""
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
