"""The files about the project itself: they can be read, and ask for what they should."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GITHUB = sorted((ROOT / ".github").rglob("*.yml"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "path", [*GITHUB, ROOT / ".pre-commit-config.yaml", ROOT / "CITATION.cff"], ids=lambda p: p.name
)
def test_yaml_can_be_read(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


@pytest.mark.parametrize("name", ["bug", "masks"])
def test_reports_ask_for_the_doctor(name: str) -> None:
    form = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text(encoding="utf-8"))
    asked = {part["id"]: part for part in form["body"] if part["type"] == "textarea"}
    assert asked["doctor"]["attributes"]["label"] == "Output of tag2mask doctor"
    assert asked["doctor"]["validations"]["required"]


def test_every_tool_of_the_checks_is_installed_for_development() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    used = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks}
    assert used <= set(re.findall(r"\$\(BIN\)/([\w-]+)", makefile))
    declared = {re.split(r"[>=\[ ]", text)[0] for text in PYPROJECT["project"]["optional-dependencies"]["dev"]}
    assert used <= declared


def test_the_citation_names_the_licence_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["license"] == PYPROJECT["project"]["license"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"]


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []
