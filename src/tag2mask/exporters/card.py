"""The model card of an exported folder: what the model is, what it learned from, and how well it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import timm
from jinja2 import Environment, PackageLoader
from pydantic import Field

from tag2mask._version import __version__
from tag2mask.data import Classes, DataSettings
from tag2mask.evaluation.evaluate import Scores, evaluate, in_percent, own_truth
from tag2mask.files import file_hash, write_text
from tag2mask.masks.manifest import MANIFEST
from tag2mask.masks.write import MaskSet, open_mask_set
from tag2mask.notation import to_yaml
from tag2mask.segmentation.folder import open_segmenter
from tag2mask.segmentation.kinds import CONFIG, SEGMENTER
from tag2mask.stored import Count, Stored, damaged, validate
from tag2mask.training.run import MODEL, kept_row, open_run, read_metrics, started_from
from tag2mask.vit.weights import FROM_HUB, NO_WEIGHTS

CARD = "README.md"
ROUNDED = 4  # digits of a fraction, as many as of a score in percent


class Learned(Stored):
    """Entries of ``config.yaml`` for the card: how many images a model learned from, and with which versions."""

    images: Count | None = Field(None, alias="photographs")
    versions: dict[str, str] = Field(default_factory=dict)


def write_card(folder: Path, kind: str, config: Mapping[str, Any], name: str, path: Path) -> int:
    """Write the card of a run or segmenter, and return the number of mask sets whose scores are in it."""
    if kind == SEGMENTER:
        segmenter = open_segmenter(folder)
        classes, data, own = segmenter.classes, segmenter.data_settings, segmenter.data
        learned = (segmenter.labels_used.split("learned from: ")[-1], str(segmenter.origin["truth_used"]))
    else:
        run = open_run(folder)
        classes, data, own, learned = run.classes, run.settings.data, run.own_data, ("image tags", run.truth_used)
    scored = [(masks, evaluate(masks.path, truth)) for masks, truth in painted_with_truth(folder, data, own)]
    with damaged(folder / CONFIG):
        training = validate(Learned, config)
    rows = [score_row(masks, scores) for masks, scores in scored]
    backbone = describe_backbone(folder, config["settings"])
    data_name = None if own is None else own.name
    template = Environment(
        loader=PackageLoader("tag2mask.exporters", "."),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = template.get_template("card.md.j2").render(
        head=to_yaml(front_matter(name, config, backbone, data_name, rows)).rstrip(),
        name=name,
        kind=kind,
        version=__version__,
        classes=class_rows(classes),
        bands=data.bands,
        data=data_name,
        images=training.images,
        labels_used=learned[0],
        truth_used=learned[1],
        metrics=best_epoch(folder),
        rows=rows,
        backbone=backbone,
        settings=to_yaml(config["settings"]).rstrip(),
        versions=training.versions,
    )
    write_text(path, text)
    return len(rows)


def painted_with_truth(folder: Path, data: DataSettings, own: Path | None) -> Iterator[tuple[MaskSet, Path]]:
    """Yield the finished mask sets in or beside a folder that its weights painted, with their truth."""
    weights = file_hash(folder / MODEL)
    found = {path.parent for place in (folder, folder.resolve().parent) for path in place.glob(f"*/{MANIFEST}")}
    for path in sorted(found):
        masks = open_mask_set(path)
        if masks.manifest.get("complete") and masks.manifest.get("checkpoint_sha256") == weights:
            truth = own_truth(masks, data, own)
            if truth is not None:
                yield masks, truth


def score_row(masks: MaskSet, scores: Scores) -> dict[str, Any]:
    """Return a mask set's scores as texts and numbers."""
    settings = masks.manifest.get("settings", {})
    images = masks.manifest.get("photographs")  # of predict: a text about a split, or a list of paths
    split = settings.get("split") or (images.split(" ")[1] if isinstance(images, str) else None)
    return {
        "masks": masks.path.name,
        "split": split or "new images",
        "images": scores.images,
        "tags": scores.tags,
        "miou": scores.miou,
        "shown": in_percent(scores.miou),
        "random": in_percent(scores.random_miou),
        "interval": " to ".join(map(in_percent, scores.interval)),
    }


def describe_backbone(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the backbone's name, where its pretrained weights came from, their repository and their licence."""
    name = (settings.get("backbone") or {}).get("name") or settings.get("encoder") or "unknown"
    source = started_from(folder)
    config = timm.get_pretrained_cfg(name) if source.startswith(FROM_HUB) else None
    return {
        "name": name,
        "source": source,
        "repository": None if config is None else config.hf_hub_id,
        "licence": None if config is None else config.license,
        "pretrained": not source.startswith(NO_WEIGHTS),
    }


def front_matter(
    name: str,
    config: Mapping[str, Any],
    backbone: Mapping[str, Any],
    data: str | None,
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return the part of the card that the hub reads."""
    settings = config["settings"]
    results = [
        {
            "task": {"type": "image-segmentation"},
            "dataset": {"name": data or "unnamed", "type": "imagefolder", "split": row["split"]},
            "metrics": [{"type": "mean_iou", "value": round(row["miou"] / 100, ROUNDED)}],
        }
        for row in rows
        if row["miou"] is not None and row["tags"] == "predicted"  # given tags are no prediction
    ]
    base = {} if backbone["repository"] is None else {"base_model": backbone["repository"]}
    listed = {"model-index": [{"name": name, "results": results}]} if results else {}
    kind = settings.get("method") or settings["architecture"]
    return {
        "library_name": "tag2mask",
        "pipeline_tag": "image-segmentation",
        "tags": ["image-segmentation", "weakly-supervised", "vision-transformer", kind],
        **base,
        **listed,
    }


def class_rows(classes: Classes) -> list[tuple[int, str]]:
    """Return pixel value and name of every class, the names safe in a Markdown table."""
    return [(value, in_table(name)) for value, name in enumerate(classes.pixel_names)]


def in_table(text: str) -> str:
    """Escape what Markdown or HTML would read as markup in a cell."""
    plain = escape(" ".join(text.split()))
    return "".join(f"\\{letter}" if letter in "\\|`*_[]#~" else letter for letter in plain)


def best_epoch(folder: Path) -> dict[str, Any]:
    """Return the number of epochs, and the validation AP and F1 of the tags at the kept one if there are any."""
    rows = read_metrics(folder)
    kept = kept_row(rows)
    return {"epochs": len(rows), **{key: kept[key] for key in ("epoch", "val_ap", "val_f1") if key in kept}}
