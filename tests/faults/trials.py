"""Verbs in processes that are forked from this one, so that they start at once; stopped, limited, and looked at.

What a trial found is counted in ``Counts``: the suite's report.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from zipfile import ZipFile

from onnxruntime import InferenceSession

# Imported before the fork: a child finds them there.
from tag2mask.cli import main
from tag2mask.files import OWN

PATIENCE = 120.0  # seconds for a verb of these tests


@dataclass
class Child:
    """A verb in a process of its own, and what it said."""

    words: Sequence[object]
    prepare: Callable[[], None] = lambda: None
    code: int | None = None
    said: str = ""
    pid: int = 0
    pieces: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Child:
        ours, theirs = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self.become_verb(theirs)
        os.close(theirs)
        self.reader = threading.Thread(target=self.read, args=(ours,))
        self.reader.start()
        return self

    def become_verb(self, theirs: int) -> None:
        """In the child: the verb, and never back into the tests."""
        code = 70
        try:
            for handle in (1, 2):
                os.dup2(theirs, handle)
            os.close(theirs)
            sys.stdout, sys.stderr = (os.fdopen(handle, "w", buffering=1, closefd=False) for handle in (1, 2))
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.prepare()
            sys.argv = ["tag2mask", *map(str, self.words)]
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(code)

    def read(self, ours: int) -> None:
        """Take what it says, so that it never waits for us."""
        while piece := os.read(ours, 1 << 16):
            self.pieces.append(piece)
        os.close(ours)

    def send(self, signum: int) -> None:
        """A signal, if it still lives."""
        if self.code is None and not self.ended():
            os.kill(self.pid, signum)

    def ended(self) -> bool:
        """Whether it has ended; then its code is known."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        until = time.monotonic() + PATIENCE
        while not self.ended():
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                self.code = -signal.SIGKILL
            time.sleep(0.005)
        self.reader.join()
        self.said = b"".join(self.pieces).decode(errors="replace")


def run(*words: object, prepare: Callable[[], None] = lambda: None) -> Child:
    """A verb to its end."""
    with Child(words, prepare) as child:
        pass
    return child


def stopped(words: Sequence[object], after: float, signum: int) -> Child:
    """A verb that gets a signal after so many seconds."""
    with Child(words) as child:
        until = time.monotonic() + after
        while time.monotonic() < until and not child.ended():
            time.sleep(0.001)
        child.send(signum)
    return child


def limited(size: int) -> Callable[[], None]:
    """No file of this process may be larger, as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def content(folder: Path, without: Path | None = None, names: Sequence[str] = ()) -> dict[str, str]:
    """Hashes of a file or of all files below, but those of ``without``; with ``names`` only what is called so."""
    files = [path for path in (folder, *folder.rglob("*")) if path.is_file()]
    others = [path for path in files if without is None or without not in (path, *path.parents)]
    chosen = [path for path in others if not names or path.name in names or path.suffix in names]
    return {path.relative_to(folder).as_posix(): content_hash(path) for path in chosen}


def content_hash(path: Path) -> str:
    """Of what a file says: a zip has the time of its making in it, an ONNX file names in any order."""
    if path.suffix == ".zip":
        with ZipFile(path) as archive:
            return str([(member.filename, member.CRC) for member in archive.infolist()])
    if path.suffix == ".onnx":
        return f"runs: {bool(InferenceSession(path).get_inputs())}"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def left_over(folder: Path) -> list[Path]:
    """Temporaries of ours, and of others."""
    return [path for path in folder.rglob("*") if path.name.startswith((OWN, ".tmp"))]


@dataclass
class Counts:
    """What a number of trials came to."""

    tried: int = 0
    survived: int = 0
    lost: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def line(self, what: str) -> str:
        """For the report."""
        return (
            f"{what}: tried {self.tried}, survived {self.survived}, lost {len(self.lost)}, tracebacks "
            f"{len(self.tracebacks)}, writes outside --out {len(self.outside)}, temporaries left {len(self.left)}"
        )

    def require_none_lost(self) -> None:
        """Everything survived."""
        assert not self.lost, self.lost
        assert not self.tracebacks, self.tracebacks[0]
        assert not self.outside, self.outside
        assert not self.left, self.left
        assert self.tried == self.survived > 0


@dataclass(frozen=True)
class Work:
    """A verb, where it writes, how it goes on, and the files that have to be the same whatever happened."""

    name: str
    words: Sequence[object]
    out: Path
    same: Sequence[str] = ()
    resumed: bool = False

    def again(self) -> list[object]:
        """The words to go on with."""
        return [*self.words, *(["--resume"] if self.resumed and self.out.is_dir() else [])]


def whole(work: Work) -> tuple[dict[str, str], float]:
    """What the verb leaves when nobody disturbs it, and how long it takes."""
    clear(work.out)  # of a test that failed
    clock = time.monotonic()
    child = run(*work.words)
    assert child.code == 0, child.said
    took = time.monotonic() - clock
    found = content(work.out, names=work.same)
    assert found
    clear(work.out)
    return found, took


def clear(out: Path) -> None:
    """As before the verb."""
    from tag2mask.files import delete

    delete(out)


def attempt(
    work: Work, expected: dict[str, str], root: Path, disturb: Callable[[], Child], codes: Sequence[int], counts: Counts
) -> None:
    """Disturb the verb, then let it go on: it ends as if nothing had been."""
    before = content(root, without=work.out)
    child = disturb()
    counts.tried += 1
    good = child.code in (*codes, 0)
    second = child if child.code == 0 else run(*work.again())  # what came to its end may not be made again
    for one in (child, second):
        if "Traceback" in one.said:
            counts.tracebacks.append(f"{work.name}: {one.said[-2000:]}")
    counts.outside += [name for name, digest in content(root, without=work.out).items() if before.get(name) != digest]
    counts.left += [str(path) for path in left_over(root)]
    if good and second.code == 0 and content(work.out, names=work.same) == expected:
        counts.survived += 1
    else:
        told = [line for one in (child, second) for line in one.said.splitlines()[-2:]]
        counts.lost.append(f"{work.name}: codes {child.code}, {second.code}: {told}")
    clear(work.out)


def moments(seed: int, count: int, took: float) -> list[float]:
    """Random moments within the time that the verb takes."""
    generator = random.Random(seed)
    return [generator.uniform(0.0, took) for _ in range(count)]
