"""Commands that combine several calls or parse text input; those about data sets are in ``datasets``."""

from __future__ import annotations

import re
from pathlib import Path

from tag2mask.errors import SettingsError
from tag2mask.evaluation.evaluate import scores_shown
from tag2mask.evaluation.sweep import tune_background
from tag2mask.exporters.hub import HubSummary, export_hub
from tag2mask.exporters.onnx import OnnxSummary, export_onnx
from tag2mask.masks.settings import MaskSettings
from tag2mask.masks.write import MaskSetSummary
from tag2mask.reports.page import write_report
from tag2mask.reports.segmenter import segmenter_section
from tag2mask.shown import PlainResult
from tag2mask.training.loop import TrainResult
from tag2mask.training.settings import TrainSettings
from tag2mask.workflows import compare as comparison
from tag2mask.workflows import training
from tag2mask.workflows.demo import run_demo
from tag2mask.workflows.on_ray import make_masks
from tag2mask.workflows.plan import Plan
from tag2mask.workflows.run import WholeResult, run_whole
from tag2mask.workflows.settings import WholeSettings
from tag2mask.workflows.stages import announce


def run(data: Path, out: Path, settings: WholeSettings, quick: bool) -> WholeResult:
    """Run the whole workflow."""
    return run_whole(Plan(data, out, settings, quick))


def train(data: Path, out: Path, settings: TrainSettings, resume: bool, no_probe: bool) -> TrainResult:
    """Train a run, and its probe unless ``no_probe`` is set."""
    return training.train(data, out, settings, resume, not no_probe)


def masks(
    run: Path,
    data: Path | None,
    out: Path | None,
    settings: MaskSettings,
    tune_on_truth: str | None,
    shard: str | None,
) -> MaskSetSummary:
    """Paint the masks of a split; ``tune_on_truth`` names a split whose truth first sets the background threshold."""
    if tune_on_truth is not None:
        tuned = tune_background(run, data, settings, tune_on_truth)
        settings = tuned.settings
        announce(tuned.line())
    return make_masks(run, data, out, settings, shard)


def compare(
    data: Path,
    out: Path,
    methods: str,
    seeds: str,
    budget_minutes: float | None,
    painting: MaskSettings,
    settings: TrainSettings,
) -> comparison.ComparisonResult:
    """Compare several methods trained in the same way.

    Raises:
        SettingsError: ``seeds`` are not integers.
    """
    if not re.fullmatch(r"\d+(,\d+)*", seeds):
        raise SettingsError(f"--seeds {seeds}: expected integers separated by commas, such as 0,1,2")
    names, numbers = [name.strip() for name in methods.split(",")], [int(seed) for seed in seeds.split(",")]
    return comparison.compare(comparison.Comparison(data, out, names, numbers, budget_minutes, settings, painting))


def report(
    run: Path, masks: Path | None, truth: Path | None, segmented: Path | None, full: Path | None, out: Path | None
) -> PlainResult:
    """Write the page about a run, with a section about a segmenter if its masks are given.

    Raises:
        SettingsError: ``full`` is given without ``segmented``.
    """
    if segmented is None and full is not None:
        raise SettingsError(f"--full {full} needs masks to compare with: give a segmenter's with --segmented")
    if segmented is None:
        page = write_report(run, masks, truth, out)
        return PlainResult({"report": str(page)}, [str(page)])
    section = segmenter_section(run, segmented, full, masks, truth)
    page = write_report(run, masks, truth, out, section.html)
    return PlainResult({"report": str(page), "segmenter": section.to_json()}, [section.line(), str(page)])


def export(run: Path, format: str, out: Path | None) -> OnnxSummary | HubSummary:  # noqa: A002
    """Export a model as ONNX, or as a folder for the hub."""
    if format == "hub":
        return export_hub(run, out or run / "hub")
    return export_onnx(run, out or run / "model.onnx")


def push(run: Path, to: Path) -> HubSummary:
    """Export a model as a folder for the hub."""
    return export_hub(run, to)


def demo(out: Path) -> PlainResult:
    """Run the whole workflow on generated scenes."""
    result = run_demo(out)
    return PlainResult(result, [*scores_shown(result["scores"]), f"report: {result['report']}"])
