"""What the site adds to our pages: the generated reference is whole, and no link leads nowhere."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import click
import pytest

import drawings
import pages
import reference
from blocks import PAGES, ROOT
from tag2mask.cli import app
from tag2mask.data.sources import SOURCES
from tag2mask.methods import METHODS

SITE = [page for page in PAGES if page.is_relative_to(pages.DOCS)]
SHOWN = pages.including_pages()
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#{1,4} (.+)$", re.MULTILINE)
CODE = re.compile(r"^(```).*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)
VERBS = [command for command in app.commands.values() if not command.hidden]


def headings(text: str) -> set[str]:
    """The anchors of a page, as GitHub and MyST write them."""
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(CODE.sub(keep_spans, text)))
    return {heading.strip().replace(" ", "-") for heading in words}


def keep_spans(code: re.Match[str]) -> str:
    return "" if code[1] else code[0].strip("`")


def completed(page: Path) -> str:
    return pages.complete(page.read_text(encoding="utf-8"), page, SHOWN)


@pytest.mark.parametrize("page", [ROOT / "README.md", *SITE], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path, counts: Counter[str]) -> None:
    text = page.read_text(encoding="utf-8") if page == ROOT / "README.md" else completed(page)
    assert "<!-- generated:" not in text
    for target, section in LINK.findall(CODE.sub("", text)):
        counts["links to pages and sections"] += not target.startswith("http")
        if target.startswith("http"):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.is_file(), f"{page.relative_to(ROOT)}: {target} is not there"
        if section and file.suffix == ".md":
            there = completed(file) if file.is_relative_to(pages.DOCS) else file.read_text(encoding="utf-8")
            assert section in headings(there), f"{page.relative_to(ROOT)}: {target} has no section {section}"


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("command", VERBS, ids=lambda command: command.name)
def test_the_reference_has_every_verb_and_option(command: click.Command) -> None:
    section = reference.commands().partition(f"## {command.name}\n")[2].partition("\n## ")[0]
    for one in command.get_params(click.Context(command)):
        if isinstance(one, click.Option) and not one.hidden and "--help" not in one.opts:
            assert max(one.opts, key=len) in section
    assert f"[`{command.name}`](#{command.name})" in reference.overview()


def test_the_reference_has_every_setting() -> None:
    listed = reference.settings()
    for name, settings in reference.settings_classes().items():
        section = listed.partition(f"## {name}\n")[2].partition("\n## ")[0]
        for one in settings.listed():
            assert f"| `{one.key}` |" in section or f"- `{one.key.partition('.')[0]}.KEY`" in section


def test_methods_and_sources_are_listed_and_drawn() -> None:
    names = [name for name in METHODS if name != "tokenmasking-paper"]
    assert all(f"### {name}\n" in reference.methods() for name in names)
    assert all(f"### {name}\n" in reference.sources() for name in SOURCES)
    page = (pages.DOCS / "methods/index.md").read_text(encoding="utf-8")
    for name in drawings.DRAWINGS:
        assert name in METHODS
        assert f"<!-- drawing: {name} -->" in page
        assert drawings.svg(name).count("<svg") == 1
