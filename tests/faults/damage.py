"""Ways to damage a file, by a seed: what disks, editors and other programs do to it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import yaml

Damage = Callable[[bytes, random.Random], bytes]
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    5,
    10**30,
    1.5,
    1e308,
    "",
    "x",
    "\0",
    "[/red]",
    "ÿ",
    [],
    {},
    [[]],
    {"": None},
)
WORDS = ("NaN", "Infinity", "1e400", "9" * 5000, "[" * 3000, "!!timestamp 2024-99-99", "\udcff", "no")


def truncated(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def flipped(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 2, 8))):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def flipped_early(content: bytes, draw: random.Random) -> bytes:
    """In the header of a binary file."""
    return flipped(content[:600], draw) + content[600:]


def foreign(content: bytes, draw: random.Random) -> bytes:
    return draw.choice((b"", b"\xff\xfe\x00", content.decode("latin-1").encode("utf-16"), draw.randbytes(200), b"[]\n"))


def inserted(content: bytes, draw: random.Random) -> bytes:
    """A word of another kind in the place of some bytes."""
    place = draw.randrange(len(content))
    word = draw.choice(WORDS).encode("utf-8", "surrogateescape")
    return content[:place] + word + content[place + draw.randrange(6) :]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything in a tree."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(value[key], (*path, key))


def changed(tree: Any, draw: random.Random) -> Any:
    """One value is gone or another, the nearer to the root the more often."""
    everywhere = list(places(tree))
    if not everywhere:
        return draw.choice(ODD)
    tree = copy.deepcopy(tree)
    shallow = [path for path in everywhere if len(path) <= 2]
    *way, last = draw.choice(shallow if draw.random() < 0.6 else everywhere)
    inside = tree
    for key in way:
        inside = inside[key]
    if draw.random() < 0.35:
        del inside[last]
    else:
        inside[last] = draw.choice(ODD)
    return tree


def json_changed(content: bytes, draw: random.Random) -> bytes:
    return json.dumps(changed(json.loads(content), draw)).encode()


def line_changed(content: bytes, draw: random.Random) -> bytes:
    lines = content.splitlines()
    place = draw.randrange(len(lines))
    lines[place] = json_changed(lines[place], draw)
    return b"\n".join(lines) + b"\n"


def yaml_changed(content: bytes, draw: random.Random) -> bytes:
    return yaml.safe_dump(changed(yaml.safe_load(content), draw)).encode()


def header_changed(content: bytes, draw: random.Random) -> bytes:
    """Of a safetensors file: names, kinds, shapes and what stands beside the tensors."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header = renamed(header, draw) if draw.random() < 0.3 else changed(header, draw)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def renamed(header: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """A tensor's name or kind is another one of the same size."""
    name = draw.choice([name for name in header if name != "__metadata__"])
    if draw.random() < 0.5:
        return {(f"{key}.9" if key == name else key): value for key, value in header.items()}
    other = {"F32": "I32", "I64": "F64", "F64": "I64"}.get(header[name]["dtype"], "F32")
    return {**header, name: {**header[name], "dtype": other}}


ANY: tuple[Damage, ...] = (truncated, flipped, flipped, foreign, inserted)
JSON: tuple[Damage, ...] = (*ANY, json_changed, json_changed, json_changed)
LINES: tuple[Damage, ...] = (*ANY, line_changed, line_changed, line_changed)
YAML: tuple[Damage, ...] = (*ANY, yaml_changed, yaml_changed, yaml_changed)
TENSORS: tuple[Damage, ...] = (
    truncated,
    flipped,
    flipped_early,
    flipped_early,
    foreign,
    header_changed,
    header_changed,
)
PICKLES: tuple[Damage, ...] = (truncated, flipped, flipped_early, foreign)
