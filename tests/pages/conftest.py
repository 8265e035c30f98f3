"""How many code blocks of our pages ran, and why the others did not: the last lines of the report."""

from __future__ import annotations

from collections import Counter

import pytest

COUNTS = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COUNTS] = Counter()


@pytest.fixture
def counts(pytestconfig: pytest.Config) -> Counter[str]:
    return pytestconfig.stash[COUNTS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts = config.stash[COUNTS]
    if counts:
        terminalreporter.section("code blocks of our pages")
        for what, number in sorted(counts.items(), key=lambda item: (item[0].startswith("not run"), -item[1])):
            terminalreporter.write_line(f"{number:4d}  {what}")
