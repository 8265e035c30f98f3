from __future__ import annotations

from pathlib import Path

import pytest
from tree_parts import Tree
from trees import TREES


@pytest.fixture(params=list(TREES))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tree(kind: str, tmp_path: Path) -> Tree:
    return TREES[kind](tmp_path / "tree")
