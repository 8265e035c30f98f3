"""Verbs that learn from tags: train, import, refine-train, train-probe, masks, compare."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from tag2mask.cli.options import (
    Assignments,
    Config,
    DataFolder,
    Epochs,
    Json,
    PresetName,
    RunFolder,
    RunWeights,
    Seed,
    Weights,
    app,
    emit,
    named,
    tell_masks,
)
from tag2mask.errors import SettingsError


@app.command()
def train(
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="A new folder for the run.")],
    method: Annotated[
        str | None, typer.Option(help="attended, tokenmasking, mctformer-v2, weaktr, linear, ... [attended].")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="Any plain timm ViT [vit_small_patch14_dinov2].")] = None,
    weights: Weights = None,
    image_size: Annotated[int | None, typer.Option(help="Side of training crops in pixels [224].")] = None,
    split: Annotated[str | None, typer.Option(help="Images to learn from [train].")] = None,
    epochs: Epochs = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step [8].")] = None,
    seed: Seed = None,
    precision: Annotated[str | None, typer.Option(metavar="auto|fp32|bf16|fp16", help="Of the numbers [auto].")] = None,
    preset: PresetName = None,
    config: Config = None,
    settings: Assignments = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Learn from tags; leaves a run."""
    from tag2mask.training.loop import train as learn
    from tag2mask.training.settings import read_settings

    options = named(
        method=method,
        backbone__name=backbone,
        weights=weights,
        backbone__image_size=image_size,
        split=split,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        precision=precision,
    )
    result = learn(data, out, read_settings(config, settings or [], options, preset), resume)
    if not as_json:
        best = "no validation images" if result.best_ap is None else f"val AP {result.best_ap:.3f}"
        print(f"{result.run}: {result.epochs} epochs, best {result.best_epoch} ({best})")
    emit(result.to_json(), as_json)


@app.command("import")
def import_run(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="The .pth file that the authors released.")],
    method: Annotated[str, typer.Option(metavar="weaktr|mctformer-v1|mctformer-v2|mctformer-plus", help="Its method.")],
    classes: Annotated[Path, typer.Option(metavar="FILE", help="A class a line, in the order it was trained on.")],
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="A new folder for the run.")],
    background: Annotated[
        bool, typer.Option("--background", help="Pixels may belong to no class; a first line background says so, too.")
    ] = False,
    image_size: Annotated[int | None, typer.Option(help="Side of images in pixels; else the training's.")] = None,
    as_json: Json = False,
) -> None:
    """Make a run of weights that a method's authors released.

    The file is read without executing it.
    """
    from tag2mask.training.imported import import_checkpoint

    result = import_checkpoint(checkpoint, method, classes, out, background, image_size)
    if not as_json:
        print(f"{result.run}: {result.method}, {result.classes} classes, {result.backbone} at {result.image_size} px")
        print(f"paint with: tag2mask masks {result.run} --data DATA --preset {result.preset}")
    emit(result.to_json(), as_json)


@app.command("refine-train")
def refine_train(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", metavar="WALK", help="A new folder for the walk.")],
    split: Annotated[str | None, typer.Option(help="Images to learn from [train].")] = None,
    backbone: Annotated[str | None, typer.Option(help="Any plain timm ViT; else the run's own.")] = None,
    weights: RunWeights = None,
    epochs: Annotated[int | None, typer.Option(help="Times through the images [5].")] = None,
    settings: Assignments = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the walk in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Learn which patches belong together, for masks --refine walk.

    From the run's own class maps, without truth.
    """
    from tag2mask.affinitynet.train import train_walk
    from tag2mask.affinitynet.walk import WalkSettings

    options = named(masks__split=split, backbone__name=backbone, weights=weights, epochs=epochs)
    summary = train_walk(run, out, WalkSettings.read(options, settings or [], "walk"), resume)
    if not as_json:
        print(f"{summary.path}: {summary.photographs} images, loss {summary.last_loss:.3f}")
    emit(summary.to_json(), as_json)


@app.command("train-probe")
def train_probe(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", metavar="PROBE", help="A new folder for the probe.")],
    split: Annotated[str | None, typer.Option(help="Images to learn from [train].")] = None,
    settings: Assignments = None,
    as_json: Json = False,
) -> None:
    """Learn what patches are over the whole data set, for masks --refine probe.

    From the run's own class maps, without truth. Stopped in between, the same call goes on.
    """
    from tag2mask.probe.probe import ProbeSettings
    from tag2mask.probe.train import train_probe as learn

    chosen = ProbeSettings.read(named(masks__split=split), settings or [], "probe")
    summary = learn(run, out, chosen)
    if not as_json:
        print(f"{summary.path}: {summary.images} images, {sum(summary.sure.values())} sure patches")
        for name, why in summary.failures.items():
            print(f"{name}: {why}")
        for name in summary.unlearned:
            print(f"no patch is surely {name}: the probe never paints it")
    emit(summary.to_json(), as_json)


@app.command()
def masks(
    run: RunFolder,
    data: Annotated[Path | None, typer.Option(help="Other images than the run's.")] = None,
    split: Annotated[str | None, typer.Option(help="Images to paint, or all [train].")] = None,
    tags: Annotated[str | None, typer.Option(metavar="given|predicted", help="Which tags to paint [given].")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="A new folder [RUN/masks-SPLIT].")] = None,
    scales: Annotated[str | None, typer.Option(help="Sum maps over scales, such as 1.0,1.25 [1.0].")] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Add the mirrored image.")] = False,
    refine: Annotated[
        str | None,
        typer.Option(
            metavar="none|affinity|pamr|probe|walk|guided|crf",
            help="Spread maps over alike patches and pixels; several with commas [none].",
        ),
    ] = None,
    layers: Annotated[int | None, typer.Option(metavar="K", help="Attention of the last K layers.")] = None,
    heads: Annotated[
        str | None, typer.Option(metavar="open|all", help="Heads that count, where they are gated.")
    ] = None,
    probe: Annotated[
        str | None, typer.Option(metavar="PROBE", help="The folder that train-probe wrote, for --refine probe.")
    ] = None,
    walk: Annotated[
        str | None, typer.Option(metavar="WALK", help="The folder that refine-train wrote, for --refine walk.")
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(metavar="NUMBER|mean|otsu|agreement", help="Cut maps there; 0.1,cow=0.2 for one class [0.1]."),
    ] = None,
    tune_on_truth: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="Choose the background's threshold by this split's true masks.")
    ] = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="Also write how likely each class is, for segment --target soft.")
    ] = False,
    unsure: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Ignore pixels whose class is less likely than that, 0 to 1.")
    ] = None,
    preset: PresetName = None,
    settings: Assignments = None,
    as_json: Json = False,
) -> None:
    """Paint the masks of a split; leaves a mask set."""
    from tag2mask.evaluation.sweep import tune_background
    from tag2mask.masks.settings import read_mask_settings
    from tag2mask.painting.make import make_masks

    options = named(
        split=split,
        tags=tags,
        refine__names=refine,
        refine__probe=probe,
        refine__walk=walk,
        look__flip=flip or None,
        look__scales=scales,
        threshold=threshold,
        scores=scores or None,
        paint__unsure=unsure,
        method__map_layers=layers,
        method__heads=heads,
    )
    chosen = read_mask_settings(options, settings or [], preset)
    if tune_on_truth is not None:
        tuned = tune_background(run, data, chosen, tune_on_truth)
        chosen = tuned.settings
        print(tuned.line(), file=sys.stderr)
    tell_masks(make_masks(run, data, out, chosen).to_json(), as_json)


@app.command()
def compare(
    data: DataFolder,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder for all of it; called again it goes on.")],
    methods: Annotated[str, typer.Option(metavar="A,B,C", help="Methods, with commas between.")],
    seeds: Annotated[str, typer.Option(metavar="0,1,2", help="Seeds, with commas between.")] = "0",
    budget_minutes: Annotated[
        float | None, typer.Option(metavar="M", min=0.01, help="Training time of each; else its epochs decide.")
    ] = None,
    refine: Annotated[
        str | None, typer.Option(metavar="none|affinity|pamr|guided|crf", help="As in masks [none].")
    ] = None,
    threshold: Annotated[str | None, typer.Option(metavar="NUMBER|mean|otsu|agreement", help="As in masks.")] = None,
    weights: Weights = None,
    config: Config = None,
    settings: Assignments = None,
    as_json: Json = False,
) -> None:
    """Train several methods alike, paint, score: which one suits these images?"""
    from tag2mask.masks.settings import read_mask_settings
    from tag2mask.training.settings import read_settings
    from tag2mask.workflows.compare import Comparison, markdown
    from tag2mask.workflows.compare import compare as run_comparison

    if not re.fullmatch(r"\d+(,\d+)*", seeds):
        raise SettingsError(f"--seeds {seeds}: wanted whole numbers with commas between, such as 0,1,2")
    train = read_settings(config, settings or [], named(weights=weights))
    names = [name.strip() for name in methods.split(",")]
    masks_as = read_mask_settings(named(refine__names=refine, threshold=threshold), [])
    plan = Comparison(data, out, names, [int(seed) for seed in seeds.split(",")], budget_minutes, train, masks_as)
    result = run_comparison(plan)
    if not as_json:
        print(markdown(result["table"]))
        chance = result["table"][0]["random_miou"]
        floor = "no truth to score with" if chance is None else f"painting at random among the tags: {chance:.1f}"
        print(f"{floor}; page: {result['report']}")
    emit(result, as_json)
