"""What tag2mask runs on: versions, installed extras, devices and memory. A bug report needs these facts.

torch is imported only when devices are listed, and a broken one is reported, not raised.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from tag2mask._version import __version__
from tag2mask.shown import Shown, Table, counted
from tag2mask.threads import COUNT, bound_cores

GIB = 2**30
NAME = "tag2mask"
NOT_FOR_USERS = ("dev", "docs")


@dataclass(frozen=True)
class Environment:
    """Facts about this installation and machine, as texts by name; ``broken`` says what must be mended, and how."""

    system: Mapping[str, str]
    room: Mapping[str, str]
    packages: Mapping[str, str]
    extras: Mapping[str, str]
    devices: Mapping[str, str]
    broken: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the facts for ``--json``."""
        names = ("system", "room", "packages", "extras", "devices")
        return {name: dict(getattr(self, name)) for name in names}

    def shown(self) -> Shown:
        """Return one table per group for printing."""
        return [Table([name, ""], list(group.items())) for name, group in self.to_json().items()]


def look_around() -> Environment:
    """Gather the facts."""
    needed, extras = requirements()
    versions = {requirement.name: installed(requirement.name) or "missing" for requirement in needed}
    found = {requirement.name: reason for requirement in needed if (reason := unmet(requirement))}
    broken = {name: f"{reason}; pip install --upgrade {NAME}" for name, reason in found.items()}
    if not needed:
        broken[NAME] = "it was not installed, so its requirements are unknown; pip install ."
    return Environment(
        describe_system(),
        attempt("psutil", describe_room, broken),
        versions,
        {name: describe_extra(parts) for name, parts in extras.items()},
        attempt("torch", list_devices, broken),
        broken,
    )


def attempt(name: str, describe: Callable[[], dict[str, str]], broken: dict[str, str]) -> dict[str, str]:
    """Return what ``describe`` finds; if the package ``name`` that it uses fails, note that in ``broken``."""
    try:
        return describe()
    except Exception as error:  # a damaged package can raise anything
        broken[name] = f"{name} cannot be used ({' '.join(str(error).split())[:160]}); reinstall it"
        return {}


def requirements() -> tuple[list[Requirement], dict[str, list[Requirement]]]:
    """Return the requirements of the installed package, and those of each extra; none if it is not installed."""
    try:
        texts = metadata.requires(NAME) or []
    except metadata.PackageNotFoundError:
        return [], {}
    needed: list[Requirement] = []
    extras: dict[str, list[Requirement]] = {}
    for requirement in map(Requirement, texts):
        named = re.search(r"extra == ['\"]([\w-]+)['\"]", str(requirement.marker))
        if named is None and (requirement.marker is None or requirement.marker.evaluate()):
            needed.append(requirement)
        elif named is not None and named[1] not in NOT_FOR_USERS:
            extras.setdefault(named[1], []).append(requirement)
    return needed, extras


def installed(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def unmet(requirement: Requirement) -> str | None:
    """Return why a requirement is not met, or None if it is."""
    version = installed(requirement.name)
    if version is None:
        return f"{requirement.name} is missing"
    if not requirement.specifier.contains(version, prereleases=True):
        return f"{requirement.name} is {version}, but {requirement.specifier} is needed"
    return None


def describe_extra(needed: Sequence[Requirement]) -> str:
    """Describe whether an extra is installed, with the versions of its packages."""
    if reasons := [reason for requirement in needed if (reason := unmet(requirement))]:
        return f"no: {', '.join(reasons)}"
    return ", ".join(f"{requirement.name} {installed(requirement.name)}" for requirement in needed)


def describe_system() -> dict[str, str]:
    """Describe Python, the system and processors."""
    return {
        NAME: __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": platform.platform(),
        "cores": f"{bound_cores()} of {os.cpu_count()}; {COUNT}={os.environ.get(COUNT, 'not set')}",
    }


def describe_room() -> dict[str, str]:
    """Describe what is free now: memory, and the disk of the working folder."""
    import psutil

    memory, disk = psutil.virtual_memory(), shutil.disk_usage(Path.cwd())
    return {
        "memory": f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free",
        "disk here": f"{disk.free / GIB:.1f} of {disk.total / GIB:.1f} GiB free",
    }


def list_devices() -> dict[str, str]:
    """Describe what torch can compute on."""
    import torch

    found = {"cpu": f"{platform.machine()}, {counted(torch.get_num_threads(), 'thread')}"}
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        found[f"cuda:{index}"] = f"{card.name}, {card.total_memory / GIB:.1f} GiB, CUDA {torch.version.cuda}"
    if torch.backends.mps.is_available():
        found["mps"] = "Apple GPU, used by training"
    return found
