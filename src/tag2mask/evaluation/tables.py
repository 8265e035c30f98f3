"""Scores as tables for notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape


def html_table(lines: Sequence[Mapping[str, str]]) -> str:
    """Return lines with the same columns as an HTML table."""
    if not lines:
        return "<p>nothing</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in lines[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line.values()) + "</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
