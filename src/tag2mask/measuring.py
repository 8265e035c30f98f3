"""Measuring time and memory, and the machine it was done on: for ``tag2mask bench`` and the project's benchmarks."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

Work = Callable[[], object]


def peak_mib() -> float:
    """Largest resident memory of this process so far."""
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):  # Windows
        return float(memory.peak_wset) / 2**20
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if platform.system() == "Darwin" else 2**10)


def timed(work: Work) -> dict[str, float]:
    """Do the work once; seconds of the clock (``wall``) and of this process on all cores (``cpu``)."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def spread(values: Sequence[float]) -> dict[str, float]:
    """The middle, the least and the most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def machine() -> dict[str, Any]:
    """What figures are measured on: processor, GPU, threads, and versions."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    names = ("torch", "timm", "numpy", "tag2mask")
    return {
        "cpu": processor(),
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def processor() -> str:
    """Name of the processor."""
    about = Path("/proc/cpuinfo")  # elsewhere, the platform knows it
    lines = about.read_text().splitlines() if about.is_file() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
