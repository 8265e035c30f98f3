"""From a run and images to a mask set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from tag2mask._version import __version__
from tag2mask.beside import read_ahead, write_behind
from tag2mask.data import open_dataset
from tag2mask.data.folder import images_folder, require_outside
from tag2mask.errors import DataError
from tag2mask.masks.agreement import choose_by_agreement
from tag2mask.masks.localize import tensor_batches
from tag2mask.masks.resolve import require_all_tagged, resolve_masks
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.sharding import finished_shard, of_list, opened_writer, read_shard, share
from tag2mask.masks.write import MaskSetSummary
from tag2mask.painting.painter import Painter
from tag2mask.progress import progress_bar
from tag2mask.training.run import Run, open_run
from tag2mask.urls import place_name


def make_masks(
    run: Path,
    data: Path | None = None,
    out: Path | None = None,
    settings: MaskSettings | None = None,
    shard: str | None = None,
) -> MaskSetSummary:
    """Paint the images of a split, or one ``shard`` of them; after an interruption, the same call continues.

    A shard is ``I/N`` or ``auto``. It becomes one file in ``out``, which is begun anew after an interruption.

    Raises:
        RunError: ``run`` is not a run.
        DataError: images or the tags to be used are missing, or ``out`` is inside the image folder.
        MaskSetError: ``out`` holds something else.
    """
    part = None if shard is None else read_shard(shard, os.environ)
    opened = open_run(run)
    settings = resolve_masks(settings or MaskSettings(), opened)
    place = data or opened.data
    dataset = open_dataset(place, opened.settings.data, settings.split)
    out = out or run / f"{'masks' if part is None else 'shards'}-{settings.split}"
    require_outside(out, images_folder(place))
    part = None if part is None else of_list(part, list(dataset))
    if dataset.classes != opened.classes:
        raise DataError(
            f"{place}: its classes are not those that {run} was trained on; give the original training data, or list "
            f"the run's {len(opened.classes)} classes in order in classes.txt"
        )
    if settings.tags == "given":
        require_all_tagged(list(dataset), settings.split)
    if settings.paint.background.value == "agreement":
        settings = choose_by_agreement(opened, list(dataset), settings)
    painter = Painter(opened, settings)  # before the writer: if loading fails, no folder is left
    painter.localizer.method.prune()
    made_from = {**describe_making(opened, settings, painter), "data": place_name(place)}
    if (done := finished_shard(out, made_from, part)) is not None:
        return done
    own = share(list(dataset), part, settings.look.batch_size)
    failures: dict[str, str] = {}
    with opened_writer(out, opened.classes, made_from, part) as writer:
        samples = [sample for sample in own if not writer.has(sample.name)]
        batches = tensor_batches(samples, opened.settings.data, settings.look.batch_size, failures)
        with progress_bar("masks", len(own), len(own) - len(samples)) as bar, write_behind() as later:
            for batch in read_ahead(batches):
                for (sample, _), painted in zip(batch, painter.paint(batch), strict=True):
                    later(writer.add, sample.name, painted)
                bar.advance(len(batch))
        return writer.finish(failures)


def describe_making(run: Run, settings: MaskSettings, painter: Painter) -> dict[str, Any]:
    """Collect everything but the images that decides the masks."""
    return {
        "tool": f"tag2mask {__version__}",
        "torch": str(torch.__version__),
        "run": run.path.resolve().name,
        "checkpoint_sha256": run.checkpoint_hash(),
        **({} if run.imported is None else {"imported": run.imported.model_dump()}),
        "method": run.settings.method,
        "probe": None if painter.probe is None else painter.probe.origin(),
        "walk": None if painter.walk is None else painter.walk.origin(),
        "student": None if painter.segmenter is None else painter.segmenter.origin(),
        "settings": settings.model_dump(mode="json"),
        "labels_used": f"image tags, {settings.tags}",
        "truth_used": truth_used(painter, settings),
    }


def truth_used(painter: Painter, settings: MaskSettings) -> str:
    """State how pixel labels influenced these masks."""
    split, student, walk = settings.paint.background.tuned_on, painter.segmenter, painter.walk
    tuned = "none" if split is None else f"background threshold tuned on the truth of split {split}"
    learned = "none" if student is None else student.run.origin["truth_used"]
    walked = "none" if walk is None else walk.truth_used
    used = dict.fromkeys((painter.run.truth_used, tuned, learned, walked))
    return "; ".join(text for text in used if text != "none") or "none"
