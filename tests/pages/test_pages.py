"""Every code block of every page runs, in order, in a folder of its own; networks are tiny (``worlds.py``).

Commands of tag2mask run in this process, other lines of a shell block in bash, Python in one namespace per page. YAML,
TOML and JSON must be well-formed. What cannot run here says why (``blocks.py``).
"""

from __future__ import annotations

import doctest
import json
import os
import shlex
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from blocks import PAGES, ROOT, SHELL, Block, blocks_of, commands_in
from command import call
from worlds import Worlds, shrink

PARSERS: Mapping[str, Callable[[str], Any]] = {
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "toml": tomllib.loads,
    "json": json.loads,
}
HINT = "if it cannot run here, write <!-- not run: REASON --> in front of it"


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Worlds:
    root = tmp_path_factory.mktemp("pages")
    return Worlds(root / "work", root / "kept")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(
    page: Path, worlds: Worlds, counts: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [block for block in blocks_of(page) if block.language]
    if not blocks:
        return
    shrink(monkeypatch)
    monkeypatch.chdir(worlds.give([]))
    namespace: dict[str, Any] = {"__name__": page.stem}
    for block in blocks:
        if block.given is not None:
            monkeypatch.chdir(worlds.give(block.given))
        counts[run(block, namespace, monkeypatch)] += 1


def run(block: Block, namespace: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a block; what was done with it."""
    if block.reason:
        return f"not run: {block.reason}"
    if block.language in PARSERS:
        PARSERS[block.language](block.text)
        return f"well-formed {block.language}"
    if block.language == SHELL:
        for command in commands_in(block.text):
            run_command(block, command, monkeypatch)
        return "shell blocks run"
    if block.language == "python":
        run_python(block, namespace)
        return "Python blocks run"
    pytest.fail(f"{block}: cannot run {block.language}; {HINT}")


def run_command(block: Block, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *words = shlex.split(command, comments=True)
    if program == "tag2mask":
        code = call(monkeypatch, *words)
    else:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {**os.environ, "PATH": path, "HOME": str(Path.cwd())}  # a page may change the start-up files of a shell
        code = subprocess.run(["bash", "-c", command], env=own, check=False).returncode
    assert code == 0, f"{block}: {command}: exit code {code}; {HINT}"


def run_python(block: Block, namespace: dict[str, Any]) -> None:
    if ">>>" not in block.text:
        exec(compile(block.text, str(block), "exec"), namespace)
        return
    test = doctest.DocTestParser().get_doctest(block.text, namespace, str(block), str(block.page), block.line)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    runner = doctest.DocTestRunner(verbose=False, optionflags=flags)
    runner.run(test, clear_globs=False)
    namespace.update(test.globs)
    assert runner.summarize(verbose=False).failed == 0, f"{block}: wrong output"
