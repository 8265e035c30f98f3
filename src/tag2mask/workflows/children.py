"""tag2mask commands as child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tag2mask.errors import RunError
from tag2mask.training.interrupt import Terminated


@dataclass(frozen=True)
class Finished:
    """A process's output on stdout, its exit code, and its peak resident memory in KiB."""

    printed: str
    code: int
    memory: int


def run_verb(words: Sequence[str]) -> Finished:
    """Run ``tag2mask`` with these arguments; its progress and errors go to our stderr.

    Ctrl-C and SIGTERM are passed on, and the process gets time to save its state.

    Raises:
        RunError: the system is Windows, which cannot tell the memory of a child and has no signals to stop it.
        KeyboardInterrupt, Terminated: this process or the child was interrupted.
    """
    if not hasattr(os, "wait4"):
        raise RunError(f"tag2mask {words[0]} cannot run as a part of another command on Windows; see docs/windows.md")
    process = subprocess.Popen([sys.executable, "-m", "tag2mask", *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
    except (KeyboardInterrupt, Terminated) as error:
        process.send_signal(signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
        process.communicate()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if process.returncode == 128 + signal.SIGTERM:
        raise Terminated
    return Finished(printed, process.returncode, usage.ru_maxrss)
