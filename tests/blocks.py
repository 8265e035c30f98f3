"""The code blocks of our pages, fenced or indented, and the comments that say how they are run.

``<!-- not run: REASON -->`` in front of a block marks one that cannot run here. ``<!-- given: photos, run -->`` names
what the next blocks find in their folder (``worlds.py``), which is otherwise empty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted(path for top in ("docs", "src") for path in (ROOT / top).rglob("*.md") if "notebooks" not in path.parts),
]
NOTE = re.compile(r"<!--\s*(not run|given):\s*(.+?)\s*-->", re.DOTALL)
COMMAND = re.compile(r"(tag2mask|python|pip|make|accelerate|srun|sbatch|pytest|node|docker|kubectl|#!)\b")
SHELL = "bash"


@dataclass(frozen=True)
class Block:
    """A block: where it starts, its language ("" for text), the ``reason`` if it cannot run here, what it is given."""

    page: Path
    line: int
    language: str
    text: str
    reason: str
    given: list[str] | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page in order; directives of Sphinx are none."""
    notes: dict[str, str] = {}
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "html_block":
            notes |= {kind: " ".join(text.split()) for kind, text in NOTE.findall(token.content)}
        if token.type in ("fence", "code_block") and not token.info.startswith("{"):
            assert token.map is not None
            given = [name.strip() for name in notes["given"].split(",")] if "given" in notes else None
            language = language_of(token.info, token.content)
            yield Block(page, token.map[0] + 1, language, token.content, notes.get("not run", ""), given)
            notes = {} if language else {key: notes[key] for key in notes.keys() & {"given"}}


def language_of(info: str, content: str) -> str:
    """The language after the fence; an indented block has none, and is a shell's if it begins with a command."""
    name = info.split()[0] if info.strip() else ""
    if name in ("sh", "console", "shell"):
        return SHELL
    if name:
        return "" if name == "text" else name
    return SHELL if COMMAND.match(content.lstrip()) else ""


def commands_in(text: str) -> list[str]:
    """The commands of a shell block: whole lines without comments, those joined by ``&&`` apart."""
    lines = [line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#")]
    return [part.strip() for line in lines for part in line.split("&&") if part.strip()]
