"""Data sets of the ``datasets`` library, as version 5.2 writes them; without pyarrow they are skipped."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tree_parts import SIDE, Tree, noise, write_text

Rows = list[dict[str, Any]]
NAMES = ("background", "cat", "dog")
FEATURES = {
    "id": {"dtype": "int64", "_type": "Value"},
    "image": {"_type": "Image"},
    "labels": {"feature": {"names": list(NAMES), "_type": "ClassLabel"}, "_type": "List"},
    "mask": {"_type": "Image"},
}
TAGS: Mapping[str, tuple[str, ...] | None] = {
    "train/00000": ("cat", "dog"),
    "train/00001": (),
    "train/00002": ("dog",),
    "train/00003": ("cat",),
    "val/00000": ("dog",),
    "val/00001": None,
}


def encoded(pixels: NDArray[np.uint8], form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def image(seed: int, form: str = "JPEG") -> dict[str, Any]:
    return {"bytes": encoded(noise(seed, SIDE, SIDE + 8), form), "path": f"{seed}.jpg"}


def arrow_type(feature: Any) -> Any:
    arrow = pytest.importorskip("pyarrow", reason="the extra hf is not installed")
    if isinstance(feature, list):
        return arrow.list_(arrow_type(feature[0]))
    if "_type" not in feature:
        return arrow.struct({name: arrow_type(inner) for name, inner in feature.items()})
    if feature["_type"] == "Image":
        return arrow.struct({"bytes": arrow.binary(), "path": arrow.string()})
    if "feature" in feature:
        return arrow.list_(arrow_type(feature["feature"]))
    return arrow.string() if feature.get("dtype") == "string" else arrow.int64()


def table_of(rows: Rows, features: Mapping[str, Any], described: bool = True) -> Any:
    arrow = pytest.importorskip("pyarrow", reason="the extra hf is not installed")
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if described else None
    types = [(name, arrow_type(feature)) for name, feature in features.items()]
    return arrow.Table.from_pylist(rows, arrow.schema(types, metadata))


def write_parquet(path: Path, rows: Rows, features: Mapping[str, Any] = FEATURES, described: bool = True) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra hf is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table_of(rows, features, described), path, row_group_size=100)


def write_saved(folder: Path, shards: Sequence[Rows], features: Mapping[str, Any] = FEATURES) -> None:
    """What ``save_to_disk`` writes for one split; it gives the split no name."""
    arrow = pytest.importorskip("pyarrow", reason="the extra hf is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    files = [f"data-{number:05d}-of-{len(shards):05d}.arrow" for number in range(len(shards))]
    for file, rows in zip(files, shards, strict=True):
        table = table_of(rows, features)
        with arrow.OSFile(str(folder / file), "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table, max_chunksize=2)
    write_text(folder / "dataset_info.json", json.dumps({"features": features, "license": ""}))
    state = {"_data_files": [{"filename": file} for file in files], "_format_type": None, "_split": None}
    write_text(folder / "state.json", json.dumps(state))


def splits_of_two() -> tuple[dict[str, list[Rows]], dict[str, NDArray[np.uint8]]]:
    """Rows of ``TAGS`` by split and shard, and the truth of three of them."""
    truth = {}
    for value, name in enumerate(("train/00000", "train/00002", "val/00000")):
        truth[name] = np.zeros((SIDE, SIDE + 8), np.uint8)
        truth[name][4:20, 4:20] = value
        truth[name][20:22] = 255
    rows = []
    for seed, (name, tags) in enumerate(TAGS.items()):
        labels = None if tags is None else [NAMES.index(tag) for tag in tags]
        mask = {"bytes": encoded(truth[name], "PNG"), "path": None} if name in truth else None
        rows.append({"id": 7 * seed, "image": image(seed), "labels": labels, "mask": mask})
    rows[1]["labels"] = [0]  # the background is no tag
    return {"train": [rows[:3], rows[3:4]], "validation": [rows[4:]]}, truth


def tree_of(root: Path, first: Path, essential: Path, write: Callable[[dict[str, list[Rows]]], None]) -> Tree:
    shards, truth = splits_of_two()
    write(shards)

    def embed(content: bytes | None) -> None:
        changed = {**shards["train"][0][0], "image": {"bytes": content, "path": None}}
        write({**shards, "train": [[changed, *shards["train"][0][1:]], *shards["train"][1:]]})

    splits = {split: tuple(name for name in TAGS if name.startswith(split)) for split in ("train", "val")}
    return Tree(root, TAGS, truth, splits, first, essential, settings={"mask": "mask"}, embed=embed)


def write_clone(root: Path) -> Tree:
    """A repository of the hub: Parquet, two files of ``train``."""

    def write(splits: dict[str, list[Rows]]) -> None:
        for split, shards in splits.items():
            for number, rows in enumerate(shards):
                write_parquet(root / f"data/{split}-{number:05d}-of-{len(shards):05d}.parquet", rows)
        write_text(root / "README.md", "---\nlicense: mit\n---\n# Pets\n")

    return tree_of(root, root / "data/train-00000-of-00002.parquet", root / "data", write)


def write_dict(root: Path) -> Tree:
    """The same from ``save_to_disk``."""

    def write(splits: dict[str, list[Rows]]) -> None:
        for split, shards in splits.items():
            write_saved(root / split, shards)
        write_text(root / "dataset_dict.json", json.dumps({"splits": list(splits)}))

    return tree_of(root, root / "train/data-00000-of-00002.arrow", root / "train/state.json", write)
