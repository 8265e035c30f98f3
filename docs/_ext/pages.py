"""What the site adds to our Markdown files before Sphinx parses them.

``<!-- include: FILE -->`` is another Markdown file of the repository, ``<!-- generated: NAME -->`` a part of the
reference, ``<!-- drawing: NAME -->`` a drawing. Links to Markdown files outside docs/ lead to the page that includes
them; links to files that are not on the site become plain text. Notebooks are shown as ``make docs`` executed them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from sphinx.application import Sphinx

import reference
from drawings import drawing
from notebooks import to_markdown

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
EXECUTED = ROOT / "build/notebooks"
INCLUDE = re.compile(r"^<!-- include: (\S+) -->$", re.MULTILINE)
NOTE = re.compile(r"^<!-- (generated|drawing): (\S+) -->$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[((?:[^\]\[]|\[[^\]]*\])*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")
GENERATED: Mapping[str, Callable[[], str]] = {
    "overview": reference.overview,
    "commands": reference.commands,
    "settings": reference.settings,
    "methods": reference.methods,
    "sources": reference.sources,
    "recipes": reference.recipes,
    "converters": reference.converters,
    "functions": reference.functions,
}


def including_pages() -> dict[Path, Path]:
    """Return the page that shows each included file."""
    return {
        (page.parent / name).resolve(): page
        for page in sorted(DOCS.rglob("*.md"))
        for name in INCLUDE.findall(page.read_text(encoding="utf-8"))
    }


def complete(text: str, page: Path, shown: Mapping[Path, Path]) -> str:
    """Return the text of a page with everything that its comments ask for, and with links that work on the site."""
    text = redirect(text, page, page, shown)
    for name in INCLUDE.findall(text):
        file = (page.parent / name).resolve()
        included = redirect(file.read_text(encoding="utf-8"), file, page, shown)
        text = text.replace(f"<!-- include: {name} -->", included)
    return NOTE.sub(lambda note: drawing(note[2]) if note[1] == "drawing" else GENERATED[note[2]](), text)


def redirect(text: str, file: Path, page: Path, shown: Mapping[Path, Path]) -> str:
    """Return the text of ``file`` with its links as seen from ``page``."""

    def aim(link: re.Match[str]) -> str:
        words, target, section = link[1], link[2], link[3] or ""
        path = (file.parent / target).resolve()
        path = shown.get(path, path)
        if path == page and section:
            return f"[{words}]({section})"
        if path.is_relative_to(DOCS):
            return f"[{words}]({os.path.relpath(path, page.parent)}{section})"
        return words

    return LINK.sub(aim, text)


def read(app: Sphinx, name: str, content: list[str]) -> None:
    """Complete a page after Sphinx has read its file."""
    page = Path(app.env.doc2path(name)).resolve()
    shown = including_pages()
    if page.suffix == ".ipynb":
        executed = EXECUTED / page.name
        content[0] = to_markdown(executed if executed.exists() else page, page.parent / "pictures")
    content[0] = complete(content[0], page, shown)
    sources = [file for file, where in shown.items() if where == page]
    for file in [*sources, *Path(__file__).parent.glob("*.py")]:
        app.env.note_dependency(str(file))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True}
