"""Commands about the papers: their recipes, and the rows of their tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tag2mask.recipes import read_recipe, recipe_names
from tag2mask.shown import PlainResult, Table
from tag2mask.workflows.published import PUBLISHED
from tag2mask.workflows.reproduce import Reproduction


def recipes(name: str | None) -> PlainResult:
    """Show all recipes, or one.

    Raises:
        SettingsError: there is no recipe of that name.
    """
    if name is not None:
        recipe = read_recipe(name)
        return PlainResult({"name": recipe.name, **recipe.verbs}, [recipe.text.rstrip("\n")])
    titles = {name: read_recipe(name).title for name in recipe_names()}
    return PlainResult({"recipes": titles}, [Table(["recipe", "what"], [[*row] for row in titles.items()])])


def reproduce(
    row: str | None, root: Path, out: Path | None, weights: str | None, assignments: Sequence[str], go: bool
) -> PlainResult:
    """Show all rows, or the commands that reproduce one; with ``go``, run them and compare with the paper's numbers.

    Raises:
        SettingsError: there is no such row.
        RunError: a command failed, or ``out`` holds something else.
    """
    if row is None:
        cells = [
            [name, known.title, ", ".join(f"{metric} {number(value)}" for metric, value in known.published.items())]
            for name, known in PUBLISHED.items()
        ]
        result = {"rows": {name: dict(known.published) for name, known in PUBLISHED.items()}}
        return PlainResult(result, [Table(["row", "what", "published"], cells)])
    options = [] if weights is None else ["--weights", weights]
    for assignment in assignments:
        options += ["--set", assignment]
    plan = Reproduction(row, root, out or Path(row), options)
    if not go:
        return PlainResult({"row": row, "commands": plan.lines()}, plan.lines())
    result = plan.go()
    compared = [
        f"{metric}: ours {value['ours']:.1f}, published {number(value['published'])}"
        for metric, value in result["results"].items()
    ]
    return PlainResult(result, [*plan.lines(), *compared])


def number(published: float | None) -> str:
    """Format a published number, which may be unknown."""
    return "no number" if published is None else f"{published:.1f}"
