"""Executed notebooks as Markdown: text, code, printed lines, tables and pictures."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def to_markdown(notebook: Path, pictures: Path) -> str:
    """Return a notebook as Markdown; its pictures are written to the folder ``pictures``, next to the page."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    parts: list[str] = []
    for number, cell in enumerate(cells):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for position, output in enumerate(cell.get("outputs", [])):
            parts += of_output(output, pictures / f"{notebook.stem}-{number}-{position}.png")
    return "\n\n".join(parts) + "\n"


def of_output(output: dict[str, Any], picture: Path) -> Iterator[str]:
    """Yield an output: a picture, a table in HTML, or lines of text; progress on stderr is left out."""
    if output["output_type"] == "stream":
        if output["name"] == "stdout":
            yield f"```text\n{''.join(output['text']).rstrip()}\n```"
        return
    data = output.get("data", {})
    if "image/png" in data:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(base64.b64decode("".join(data["image/png"])))
        yield f"![Output of the cell above]({picture.parent.name}/{picture.name})"
    elif "text/html" in data:
        yield f"```{{raw}} html\n{''.join(data['text/html'])}\n```"
    elif "text/plain" in data:
        yield f"```text\n{''.join(data['text/plain'])}\n```"
